from __future__ import annotations

import numpy as np
import pytest
import torch
import torchaudio
from numpy.typing import NDArray

from tests.kept_run import Kept
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.training.fit import Fit
from uss_ray.training.recipe import FitSettings, OptimiserSettings, PlanSettings
from uss_ray.training.tagger import TaggerRecipe, TaggerTask, masked, overlap_clips

RATE, SECONDS = 4000, 1
CONFIG = PannsConfig(
    classes=2,
    block_channels=(4, 8),
    embedding_size=8,
    head="frame",
    pooling="linear_softmax",
    sample_rate=RATE,
    window_samples=256,
    hop_samples=64,
    mel_bins=16,
    max_hertz=1900.0,
    block_dropout=0.0,
    head_dropout=0.0,
)


class TonesAndNoise:
    """Even clips hold tones (class 0), odd ones noise (class 1)."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        time = np.arange(RATE * SECONDS) / RATE
        tones = [np.sin(2 * np.pi * hertz * time) for hertz in rng.uniform(200, 1800, 6)]
        self.audio = np.zeros((12, len(time)), np.float32)
        self.audio[::2], self.audio[1::2] = 0.3 * np.array(tones), 0.3 * rng.standard_normal((6, len(time)))
        self.labels = np.eye(2, dtype=np.float32)[np.arange(12) % 2]

    def waveform(self, clips: NDArray[np.int64], /) -> NDArray[np.float32]:
        return self.audio[clips]


def recipe_of(*, steps: int = 60, **values: object) -> TaggerRecipe:
    return TaggerRecipe(
        name="ear",
        fit=FitSettings(steps=steps, optimiser=OptimiserSettings(learning_rate=1e-2, warmup_steps=2)),
        plan=PlanSettings(batch_size=12, lanes=1),
        tagger=CONFIG,
        **values,
    )


def trained(recipe: TaggerRecipe) -> TaggerTask:
    task = TaggerTask(recipe, TonesAndNoise())
    Fit(task, settings=recipe.fit, lanes=[0], lane_count=1, keeper=Kept()).run()
    task.module.eval()
    return task


def test_the_tagger_learns_from_weak_labels() -> None:
    task, clips = trained(recipe_of()), TonesAndNoise()
    with torch.inference_mode():
        probs = task.tagger(torch.from_numpy(clips.audio)).clipwise_probs
    tonal = probs[:, 0] - probs[:, 1]
    assert tonal[::2].min() > tonal[1::2].max() + 0.3


def test_the_same_seed_trains_the_same_tagger() -> None:
    one, other = (trained(recipe_of(steps=2)).module.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_overlapped_clip_has_the_labels_of_both() -> None:
    clips = TonesAndNoise()
    mixed, labels = overlap_clips(
        clips.audio, clips.labels, generator=np.random.default_rng(0), share=1.0, range_db=0.0
    )
    order = np.random.default_rng(0).permutation(12)
    assert (labels == np.maximum(clips.labels, clips.labels[order])).all()
    added = mixed - clips.audio
    assert np.sqrt(np.mean(added**2, axis=1)) == pytest.approx(
        np.sqrt(np.mean(clips.audio**2, axis=1)), rel=1e-4
    )
    alone, same = overlap_clips(
        clips.audio, clips.labels, generator=np.random.default_rng(0), share=0.0, range_db=10.0
    )
    assert (alone == clips.audio).all()
    assert (same == clips.labels).all()


def test_a_batch_names_its_clips() -> None:
    task = TaggerTask(recipe_of(overlapped=0.0), TonesAndNoise())
    batch = task.load(4, 0)
    assert task.names(batch) == [f"clip {row}" for row in batch.clips]
    assert (task.load(4, 0).clips == batch.clips).all()
    assert (task.load(5, 0).clips != batch.clips).any()


@pytest.mark.parametrize(("axis", "longest"), [(1, 64), (2, 8), (1, 500)])
def test_what_is_masked_is_what_torchaudio_would_mask(axis: int, longest: int) -> None:
    maps = torch.randn(5, 101, 64)
    torch.manual_seed(1)
    ours = masked(maps, axis=axis, longest=longest, value=-3.0)
    torch.manual_seed(1)
    by_bands = maps.transpose(1, 2).unsqueeze(1)
    theirs = torchaudio.functional.mask_along_axis_iid(by_bands, longest, -3.0, 3 if axis == 1 else 2)
    assert torch.equal(ours, theirs.squeeze(1).transpose(1, 2))
    assert not torch.equal(ours, maps)
