from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchaudio
from numpy.typing import NDArray

from tests.kept_run import Kept
from tests.synthetic_set import RATE as ANCHOR_RATE
from tests.synthetic_set import SAMPLES, SyntheticSet
from uss_ray.errors import ConfigError
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.training.fit import Fit
from uss_ray.training.recipe import FitSettings, OptimiserSettings, PlanSettings, TaggerRecipe
from uss_ray.training.tagger import AnchorLabels, TaggerTask, masked, overlap_clips

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

    @property
    def samples(self) -> int:
        return self.audio.shape[1]

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
    assert task.names(batch) == [f"clip {row}" for row in batch.rows]
    assert (task.load(4, 0).rows == batch.rows).all()
    assert (task.load(5, 0).rows != batch.rows).any()


def test_excerpts_have_one_length_a_step_and_balanced_draws_reach_rare_classes() -> None:
    task = TaggerTask(recipe_of(crop_seconds=(0.25, 1.0), balanced=True), TonesAndNoise())
    batches = [task.load(step, 0) for step in range(6)]
    lengths = {batch.waveforms.shape[1] for batch in batches}
    assert len(lengths) > 1
    assert RATE // 4 <= min(lengths) <= max(lengths) <= RATE
    clips = TonesAndNoise()
    clips.labels[:] = [1.0, 0.0]
    clips.labels[7] = [0.0, 1.0]
    rare = TaggerTask(recipe_of(balanced=True), clips).load(0, 0)
    assert (rare.rows == 7).sum() == 6


def test_mixup_blends_an_item_with_its_mirror_image_and_their_labels() -> None:
    plain = {"masked": False, "overlapped": 0.0}
    mixing, task = (TaggerTask(recipe_of(mixup=mixup, **plain), TonesAndNoise()) for mixup in (True, False))
    batch = mixing.load(0, 0)
    assert ((batch.shares > 0) & (batch.shares < 1)).all()
    mixing.module.eval()
    task.module.eval()
    blended = mixing.loss(batch).detach()
    log_mel = task.tagger.log_mel(batch.waveforms)
    shares = batch.shares[:, None]
    log_mel = shares[..., None] * log_mel + (1 - shares[..., None]) * log_mel.flip(0)
    labels = shares * batch.labels + (1 - shares) * batch.labels.flip(0)
    probs = task.tagger.tag(log_mel).clipwise_probs
    expected = -(labels * probs.log() + (1 - labels) * (1 - probs).log()).mean().detach()
    assert float(blended) == pytest.approx(float(expected), rel=1e-5)


def test_blended_anchors_of_which_nothing_is_known_teach_nothing() -> None:
    """With few classes each may be unknown in one of two anchors; the mean of nothing would end the run."""
    task = TaggerTask(recipe_of(mixup=True), TonesAndNoise())
    batch = task.load(0, 0)
    labels = torch.tensor([[1.0, 0.5], [0.5, 1.0]]).repeat(6, 1)
    loss = task.loss(replace(batch, kind="anchor", labels=labels))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not any(
        parameter.grad.any() for parameter in task.module.parameters() if parameter.grad is not None
    )


class HalfSeconds(TonesAndNoise):
    """Clips of four classes at the rate of the synthetic set."""

    def __init__(self) -> None:
        super().__init__()
        self.audio = self.audio[:, :SAMPLES]
        self.labels = np.eye(4, dtype=np.float32)[np.arange(12) % 4]


def test_what_an_anchor_may_hold_counts_neither_way(synthetic_set: SyntheticSet) -> None:
    anchors = AnchorLabels(synthetic_set.open(), synthetic_set.vocabulary)
    catalogue = anchors.anchors.catalogue
    row = int(np.flatnonzero(catalogue.class_indexes == 2)[0])
    assert anchors.labels(np.array([row])).tolist() == [[0, 0, 1, 0]]
    heard = catalogue.heard.values.copy()
    heard[catalogue.heard.ends[row]] = 3
    anchors.anchors.catalogue = replace(catalogue, heard=replace(catalogue.heard, values=heard))
    assert anchors.labels(np.array([row])).tolist() == [[0, 0, 1, 0.5]]
    recipe = recipe_of(anchor_share=1.0, overlapped=0.0, masked=False).replace(
        tagger=CONFIG.replace(classes=4, sample_rate=ANCHOR_RATE)
    )
    task = TaggerTask(recipe, HalfSeconds(), anchors=anchors)
    batch = task.load(0, 0)
    assert task.names(batch)[0] == f"anchor {batch.rows[0]}"
    task.module.eval()
    batch.labels[:, 3] = 0.5
    loss = float(task.loss(batch).detach())
    with torch.no_grad():  # a class that is never known leaves no trace in the loss
        task.tagger.classify.bias[3] += 5.0
    assert float(task.loss(batch).detach()) == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"tagger": CONFIG.replace(classes=3)},
            r"tagger\.classes: expected 2, as in the class list, found 3",
        ),
        ({"crop_seconds": (0.5, 2.0)}, r"crop_seconds: expected at most the 1 s of a clip, found 2"),
        ({"anchor_share": 0.5}, "anchor_share: expected 0 without anchors"),
        ({"plan": PlanSettings(batch_size=2, lanes=2)}, "two items or more a lane"),
    ],
)
def test_a_recipe_that_does_not_fit_its_clips_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TaggerTask(recipe_of().replace(**values), TonesAndNoise())


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
