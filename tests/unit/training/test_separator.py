from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from uss_ray.anchors.pool import AnchorPool
from uss_ray.audio.pcm import to_float
from uss_ray.errors import ConfigError
from uss_ray.evaluation.metrics import sdr_improvement
from uss_ray.mixtures import mix_in_ring
from uss_ray.models.resunet import ResUNet
from uss_ray.training.loop import LoopConfig, run_loop
from uss_ray.training.norms import settle_norms
from uss_ray.training.separator import ConditionShares, SeparatorTask, average_by_class

EYE = np.eye(2, dtype=bool)
MEANS = ConditionShares(own=0, masked=0, class_mean=1)


def task(model: ResUNet, pool: AnchorPool, shares: ConditionShares | None = None) -> SeparatorTask:
    return SeparatorTask(model, pool, subtrees=EYE, samples=1000, batch_size=8, shares=shares)


@pytest.mark.slow
def test_tones_and_noise_are_learnt_apart(
    tones_and_noise: AnchorPool, separator: ResUNet, tmp_path: Path
) -> None:
    work = task(separator, tones_and_noise)
    config = LoopConfig(steps=150, learning_rate=2e-2, warmup_steps=5)
    run_loop(separator, work.loss, config=config, checkpoint=tmp_path / "model.pt")
    settle_norms(separator, work.loss, batches=20)
    sources = torch.from_numpy(to_float(tones_and_noise.audio[:2]))
    mixtures = mix_in_ring(sources)
    with torch.inference_mode():
        estimates = separator(mixtures, torch.eye(2))
    # Half of the mixture would be 3 dB better than the mixture: what must be beaten clearly.
    assert (sdr_improvement(estimates.numpy(), sources.numpy(), mixtures.numpy()) > 4.5).all()


def test_a_batch_holds_mixtures_of_equal_energy_and_conditions_of_the_target(
    tones_and_noise: AnchorPool, separator: ResUNet
) -> None:
    mixtures, targets, conditions = task(separator, tones_and_noise, MEANS).draw(
        torch.Generator().manual_seed(0)
    )
    assert mixtures.shape == targets.shape == (8, 1000)
    others = mixtures - targets
    assert torch.allclose(others.square().sum(-1), targets.square().sum(-1), rtol=1e-3)
    crest = targets.abs().amax(dim=1) / targets.square().mean(dim=1).sqrt()
    assert torch.equal(conditions.argmax(dim=1), (crest > 2.6).long())


def test_classes_take_even_turns_whatever_their_size(tones_and_noise: AnchorPool, separator: ResUNet) -> None:
    few = np.array([0, *range(1, 12, 2)])  # one anchor of tones, six of noise
    pool = replace(
        tones_and_noise,
        **{
            name: getattr(tones_and_noise, name)[few]
            for name in ("class_indexes", "scores", "conditions", "places")
        },
        label_indexes=[tones_and_noise.label_indexes[row] for row in few],
    )
    work = task(separator, pool, MEANS)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([work.draw(generator)[2] for _ in range(40)]).argmax(dim=1)
    assert 0.4 < float((drawn == 0).float().mean()) < 0.6


def test_a_masked_condition_is_zero_outside_the_subtree(
    tones_and_noise: AnchorPool, separator: ResUNet
) -> None:
    pool = replace(tones_and_noise, conditions=np.full((12, 2), 0.5, np.float32))
    shares = ConditionShares(own=0, masked=1, class_mean=0)
    conditions = task(separator, pool, shares).draw(torch.Generator().manual_seed(0))[2]
    assert sorted(set(map(tuple, conditions.tolist()))) == [(0.0, 0.5), (0.5, 0.0)]


def test_class_means_are_weighted_by_score(tones_and_noise: AnchorPool) -> None:
    scores = np.where(np.arange(12) == 0, 1, 0).astype(np.float32)
    conditions = np.arange(24, dtype=np.float32).reshape(12, 2)
    means = average_by_class(replace(tones_and_noise, scores=scores, conditions=conditions))
    assert means[0] == pytest.approx([0, 1], abs=1e-3)
    assert means[1] == pytest.approx(conditions[1::2].mean(axis=0), abs=1e-3)


def test_an_item_longer_than_an_anchor_is_refused(tones_and_noise: AnchorPool, separator: ResUNet) -> None:
    with pytest.raises(ConfigError, match="at most the 1000 of an anchor, found 1001"):
        SeparatorTask(separator, tones_and_noise, subtrees=EYE, samples=1001, batch_size=8)


def test_shares_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected a sum of 1, found 1\.2"):
        ConditionShares(own=0.5)
