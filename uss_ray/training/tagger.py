"""Train a tagger from weak labels.

Owns one step and the mixing of clips that makes the tagger meet overlapping sounds; the loop is in `loop.py`. A tagger
learns from whole clips, for it has to be there before anchors can be mined; whoever calls hands the clips in as arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from uss_ray.models.memory import lay_out_channels_last
from uss_ray.models.panns import Panns, PannsConfig
from uss_ray.training.loop import LoopConfig, run_loop

_EPS = 1e-6
_MASKED_BANDS, _MASKED_FRAMES = 8, 64
# A classifier that starts near the base rate of a class spends no steps on learning that most classes are absent.
_FIRST_LOGIT = -4.0


class WeakClips(Protocol):
    """Clips of one length with weak labels; `datasets.clips.LoadedClips` is one."""

    @property
    def labels(self) -> NDArray[np.float32]:
        """0 or 1, of shape (clips, classes)."""
        ...

    def waveform(self, clips: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Give some clips, of shape (clips, samples), in [-1, 1]."""
        ...


def train_tagger(
    clips: WeakClips, *, config: PannsConfig, loop: LoopConfig, batch_size: int, checkpoint: Path
) -> Panns:
    """Train a tagger on whole clips, a share of them overlapped with another one.

    Parameters
    ----------
    clips : WeakClips
    config : PannsConfig
    loop : LoopConfig
    batch_size : int
    checkpoint : Path
        See `run_loop`.
    """
    torch.manual_seed(loop.seed)
    model = Panns(config)
    with torch.no_grad():
        model.classify.bias.fill_(_FIRST_LOGIT)
    lay_out_channels_last(model)

    def step_loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(clips.labels), (batch_size,), generator=generator).numpy()
        level_db = torch.rand(len(rows), 1, generator=generator) * 20 - 12
        waveform = torch.from_numpy(clips.waveform(rows)) * 10 ** (level_db / 20)
        waveform, labels = overlap_clips(waveform, torch.from_numpy(clips.labels[rows]), generator=generator)
        return tagger_loss(model, waveform, labels)

    run_loop(model, step_loss, config=loop, checkpoint=checkpoint)
    return model


def overlap_clips(
    waveform: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    share: float = 0.5,
    range_db: float = 10.0,
) -> tuple[Tensor, Tensor]:
    """Add to a share of the clips another clip of the batch; its labels are added too.

    Parameters
    ----------
    waveform : Tensor of shape (batch, samples)
    labels : Tensor of shape (batch, classes)
        Weak labels, 0 or 1.
    generator : torch.Generator
    share : float, default=0.5
        Fraction of clips that get a second clip, in [0, 1].
    range_db : float, default=10
        The level of the second clip is uniform in ± this many dB around the first one's.

    Returns
    -------
    tuple of Tensor
        Waveforms and labels of the same shapes.
    """
    batch = len(waveform)
    order = torch.randperm(batch, generator=generator)
    chosen = (torch.rand(batch, generator=generator) < share).float()[:, None]
    gain_db = (torch.rand(batch, generator=generator) * 2 - 1)[:, None] * range_db
    rms = waveform.square().mean(dim=1, keepdim=True).sqrt()
    gain = (rms / rms[order].clamp(min=_EPS)).clamp(max=100.0) * 10 ** (gain_db / 20)
    mixed = waveform + chosen * gain * waveform[order]
    return mixed, torch.maximum(labels, chosen * labels[order])


def tagger_loss(model: Panns, waveform: Tensor, labels: Tensor, *, augment: bool = True) -> Tensor:
    """Binary cross-entropy of the clip-wise probabilities.

    Parameters
    ----------
    model : Panns
    waveform : Tensor of shape (batch, samples)
    labels : Tensor of shape (batch, classes)
    augment : bool, default=True
        Mask random bands of time and frequency (SpecAugment, Park et al. 2019).

    Returns
    -------
    Tensor of shape ()
    """
    log_mel = model.log_mel(waveform)
    if augment:
        floor = float(log_mel.mean())
        for _ in range(2):
            log_mel = masked(log_mel, axis=2, longest=_MASKED_BANDS, value=floor)
            log_mel = masked(log_mel, axis=1, longest=_MASKED_FRAMES, value=floor)
    probs = model.tag(log_mel).clipwise_probs
    return F.binary_cross_entropy(probs.clamp(_EPS, 1 - _EPS), labels)


def masked(maps: Tensor, *, axis: int, longest: int, value: float) -> Tensor:
    """Overwrite a stretch of each map, of a length and at a place drawn by chance.

    Parameters
    ----------
    maps : Tensor of shape (batch, frames, bands)
    axis : {1, 2}
        Where the stretch lies.
    longest : int
        It is shorter than this.
    value : float

    Returns
    -------
    Tensor of shape (batch, frames, bands)
    """
    size = maps.shape[axis]
    lengths = torch.rand(len(maps), 1, device=maps.device, dtype=maps.dtype) * longest
    starts = torch.rand(len(maps), 1, device=maps.device, dtype=maps.dtype) * (size - lengths)
    place = torch.arange(size, device=maps.device)
    covered = (place >= starts.long()) & (place < starts.long() + lengths.long())
    return maps.masked_fill(covered.unsqueeze(2 if axis == 1 else 1), value)
