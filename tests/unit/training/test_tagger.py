from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from numpy.typing import NDArray

from uss_ray.models.panns import PannsConfig
from uss_ray.training.loop import LoopConfig
from uss_ray.training.tagger import masked, overlap_clips, train_tagger

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


def test_the_tagger_learns_from_weak_labels(tmp_path: Path) -> None:
    clips = TonesAndNoise()
    loop = LoopConfig(steps=60, learning_rate=1e-2, warmup_steps=2)
    model = train_tagger(clips, config=CONFIG, loop=loop, batch_size=12, checkpoint=tmp_path / "tagger.pt")
    with torch.inference_mode():
        probs = model(torch.from_numpy(clips.audio)).clipwise_probs
    tonal = probs[:, 0] - probs[:, 1]
    assert tonal[::2].min() > tonal[1::2].max() + 0.3


def test_the_same_seed_trains_the_same_tagger(tmp_path: Path) -> None:
    loop = LoopConfig(steps=2, learning_rate=1e-3)
    one, other = (
        train_tagger(TonesAndNoise(), config=CONFIG, loop=loop, batch_size=4, checkpoint=tmp_path / name)
        for name in ("one.pt", "other.pt")
    )
    for mine, its in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, its)


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


def test_overlapped_clips_carry_the_labels_of_both() -> None:
    torch.manual_seed(0)
    waveform, labels = torch.randn(8, 400), torch.eye(8)
    mixed, union = overlap_clips(waveform, labels, generator=torch.Generator().manual_seed(0), share=1.0)
    changed = (mixed - waveform).abs().amax(dim=1) > 0
    assert changed.all()
    assert set(union.sum(dim=1).tolist()) <= {1.0, 2.0}
    assert (union >= labels).all()
    assert union.sum() > 8
    same, kept = overlap_clips(waveform, labels, generator=torch.Generator().manual_seed(0), share=0.0)
    assert torch.equal(same, waveform)
    assert torch.equal(kept, labels)
