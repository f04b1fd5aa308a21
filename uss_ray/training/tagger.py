"""Train a tagger from weak labels: the recipe, and what a lane computes.

A tagger learns from whole clips, for it has to be there before anchors can be mined; whoever calls hands them in as
arrays. Some are overlapped with another one, so that it meets sounds at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from uss_ray.config import Settings
from uss_ray.models.memory import lay_out_channels_last
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.training.fit import Task
from uss_ray.training.plan import counter_generator
from uss_ray.training.recipe import FitSettings, PlanSettings

_EPS = 1e-6
# A classifier that starts near the base rate of a class spends no steps on learning that most classes are absent.
_FIRST_LOGIT = -4.0
_LEVEL_DB = (-12.0, 8.0)
_MASKS = ((2, 8), (1, 64), (2, 8), (1, 64))  # axis and the width that a mask stays below: mel, time


class TaggerRecipe(Settings):
    """How a tagger is trained."""

    name: str = Field(min_length=1, description="Name of the weights.")
    fit: FitSettings = Field(description="Length and pace.")
    plan: PlanSettings = Field(
        default_factory=lambda: PlanSettings(lanes=1), description="Which clips make up a step."
    )
    tagger: PannsConfig = Field(default_factory=PannsConfig, description="The network.")
    overlapped: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Share of clips that another one is added to, with its labels.",
    )
    overlap_range_db: float = Field(
        default=10.0,
        ge=0.0,
        description="The level of the other one lies so many dB around the first, evenly.",
    )
    masked: bool = Field(
        default=True, description="Mask random bands of time and frequency (SpecAugment, Park et al. 2019)."
    )


class WeakClips(Protocol):
    """Clips of one length with weak labels; `datasets.clips.LoadedClips` is one."""

    @property
    def labels(self) -> NDArray[np.float32]:
        """0 or 1, of shape (clips, classes)."""
        ...

    def waveform(self, clips: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Give some clips, of shape (clips, samples), in [-1, 1]."""
        ...


@dataclass(frozen=True, eq=False)
class TaggerBatch:
    """A lane's part of a step.

    Parameters
    ----------
    clips : ndarray of shape (items,), dtype=int64
        Rows of the data.
    waveforms : Tensor of shape (items, samples)
    labels : Tensor of shape (items, classes)
    """

    clips: NDArray[np.int64]
    waveforms: Tensor
    labels: Tensor


class TaggerTask(Task[TaggerBatch]):
    """A tagger, and the clips that it is trained on.

    Parameters
    ----------
    recipe : TaggerRecipe
    clips : WeakClips
    device : device, default="cpu"
    """

    def __init__(self, recipe: TaggerRecipe, clips: WeakClips, *, device: torch.device | str = "cpu") -> None:
        self.recipe = recipe
        self.device = torch.device(device)
        self.items = recipe.plan.batch_size
        self.item_seconds = clips.waveform(np.zeros(1, np.int64)).shape[1] / recipe.tagger.sample_rate
        self._clips = clips
        torch.manual_seed(recipe.plan.seed)
        tagger = Panns(recipe.tagger)
        with torch.no_grad():
            tagger.classify.bias.fill_(_FIRST_LOGIT)
        self.module = lay_out_channels_last(tagger).to(self.device)
        self.tagger = tagger

    def load(self, step: int, lane: int) -> TaggerBatch:
        """See `Task`."""
        recipe = self.recipe
        generator = counter_generator(recipe.plan.seed, "clips", step, lane)
        rows = generator.integers(len(self._clips.labels), size=recipe.plan.lane_items)
        low, high = _LEVEL_DB
        gains = 10.0 ** ((low + (high - low) * generator.random((len(rows), 1))) / 20.0)
        waveforms, labels = overlap_clips(
            self._clips.waveform(rows) * gains.astype(np.float32),
            self._clips.labels[rows],
            generator=generator,
            share=recipe.overlapped,
            range_db=recipe.overlap_range_db,
        )
        return TaggerBatch(rows, torch.from_numpy(waveforms), torch.from_numpy(labels))

    def loss(self, batch: TaggerBatch) -> Tensor:
        """See `Task`; binary cross-entropy of the clip-wise probabilities."""
        log_mel = self.tagger.log_mel(batch.waveforms.to(self.device))
        if self.recipe.masked:
            floor = float(log_mel.detach().mean())
            for axis, longest in _MASKS:
                log_mel = masked(log_mel, axis=axis, longest=longest, value=floor)
        probs = self.tagger.tag(log_mel).clipwise_probs
        labels = batch.labels.to(self.device)
        return F.binary_cross_entropy(probs.float().clamp(_EPS, 1 - _EPS), labels)

    def names(self, batch: TaggerBatch) -> Sequence[str]:
        """See `Task`."""
        return [f"clip {row}" for row in batch.clips.tolist()]


def overlap_clips(
    waveforms: NDArray[np.float32],
    labels: NDArray[np.float32],
    *,
    generator: np.random.Generator,
    share: float,
    range_db: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Add to a share of the clips another clip of the batch; its labels are added too.

    Parameters
    ----------
    waveforms : ndarray of shape (batch, samples), dtype=float32
    labels : ndarray of shape (batch, classes), dtype=float32
        Weak labels, 0 or 1.
    generator : Generator
    share : float
        Fraction of clips that get a second clip, in [0, 1].
    range_db : float
        The level of the second clip is uniform in ± this many dB around the first one's.

    Returns
    -------
    tuple of ndarray
        Waveforms and labels of the same shapes.
    """
    batch = len(waveforms)
    order = generator.permutation(batch)
    chosen = (generator.random(batch) < share)[:, None].astype(np.float32)
    gain_db = (generator.random(batch) * 2.0 - 1.0)[:, None] * range_db
    rms = np.sqrt(np.square(waveforms).mean(axis=1, keepdims=True))
    gain = np.minimum(rms / np.maximum(rms[order], _EPS), 100.0) * 10.0 ** (gain_db / 20.0)
    mixed = waveforms + chosen * gain.astype(np.float32) * waveforms[order]
    return mixed.astype(np.float32), np.maximum(labels, chosen * labels[order])


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
