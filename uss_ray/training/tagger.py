"""Train a tagger from weak labels, and from anchors where there are some: what a lane computes.

A tagger learns from clips first, for it has to be there before anchors can be mined; whoever calls hands them in as
arrays. A lane's part of a step is excerpts of clips, or anchors; some are overlapped with another one, so that it meets
sounds at once. What an anchor is known to hold is its class and what holds that; whether other labels of its clip, or
classes that the detector did not rule out, sound in it too is unknown, and counts neither way.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from uss_ray.errors import ConfigError
from uss_ray.models.compiled import compile_here
from uss_ray.models.memory import lay_out_channels_last
from uss_ray.models.panns import Panns
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.training.anchors import TrainingAnchors
from uss_ray.training.augmentation import augment
from uss_ray.training.fit import Task
from uss_ray.training.plan import DrawPlan, counter_generator
from uss_ray.training.recipe import TaggerRecipe

_EPS = 1e-6
# A classifier that starts near the base rate of a class spends no steps on learning that most classes are absent.
_FIRST_LOGIT = -4.0
LEVEL_DB = (-12.0, 8.0)
_UNKNOWN = 0.5  # between absent and there, so that the larger of two labels is that of their sum
_MASKS = ((2, 8), (1, 64), (2, 8), (1, 64))  # axis and the width that a mask stays below: mel, time


class WeakClips(Protocol):
    """Clips of one length with weak labels; whoever starts a run has them."""

    @property
    def labels(self) -> NDArray[np.float32]:
        """0 or 1, of shape (clips, classes)."""
        ...

    @property
    def samples(self) -> int:
        """Length of each."""
        ...

    def waveform(self, clips: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Give some clips, of shape (clips, samples), in [-1, 1]."""
        ...


@dataclass(frozen=True, eq=False)
class TaggerBatch:
    """A lane's part of a step.

    Parameters
    ----------
    kind : {"clip", "anchor"}
    rows : ndarray of shape (items,), dtype=int64
        Of the data.
    waveforms : Tensor of shape (items, samples)
    labels : Tensor of shape (items, classes)
        0, 1, or between them where it is unknown.
    shares : Tensor of shape (items,)
        Of each item beside the one at the same place from the end, for mixup; all 1 without.
    """

    kind: str
    rows: NDArray[np.int64]
    waveforms: Tensor
    labels: Tensor
    shares: Tensor


class TaggerTask(Task[TaggerBatch]):
    """A tagger, and the clips and anchors that it is trained on.

    Parameters
    ----------
    recipe : TaggerRecipe
    clips : WeakClips
    anchors : AnchorLabels, optional
        Needed where the recipe has a share for them.
    device : device, default="cpu"

    Raises
    ------
    ConfigError
        If recipe and data do not fit each other.
    """

    def __init__(
        self,
        recipe: TaggerRecipe,
        clips: WeakClips,
        *,
        anchors: AnchorLabels | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.recipe = recipe
        self.device = torch.device(device)
        self.items = recipe.plan.batch_size
        self._clips, self._anchors = clips, anchors
        self._samples = clips.samples
        _check(recipe, clips, anchors)
        self.item_seconds = (
            self._samples / recipe.tagger.sample_rate
            if recipe.crop_seconds is None
            else sum(recipe.crop_seconds) / 2
        )
        self._members = [np.flatnonzero(column) for column in clips.labels.T]
        self._members = [members for members in self._members if len(members)]
        torch.manual_seed(recipe.plan.seed)
        tagger = Panns(recipe.tagger)
        with torch.no_grad():
            tagger.classify.bias.fill_(_FIRST_LOGIT)
        if recipe.fit.channels_last:
            lay_out_channels_last(tagger)
        self.module = self.tagger = tagger.to(self.device)
        # Excerpts of many lengths would otherwise be compiled one by one.
        self._tag = compile_here(tagger.tag, dynamic=True) if recipe.fit.compiled else tagger.tag

    def apart(self) -> TaggerTask:
        """Give the same task with a network of its own, so that a state can be tried while a run goes on."""
        other = copy.copy(self)
        other.module = other.tagger = copy.deepcopy(self.tagger)
        other._tag = other.tagger.tag
        return other

    def load(self, step: int, lane: int) -> TaggerBatch:
        """See `Task`."""
        recipe = self.recipe
        generator = counter_generator(recipe.plan.seed, "clips", step, lane)
        if self._anchors is not None and generator.random() < recipe.anchor_share:
            kind, rows = "anchor", self._anchors.draws(recipe).anchors(step, lane)
            waveforms, labels = self._anchors.read(rows, unknown=recipe.unknown)
        else:
            kind, rows = "clip", self._draw(step, lane, generator)
            waveforms = self._crop(self._clips.waveform(rows), generator)
            labels = self._clips.labels[rows]
        low, high = LEVEL_DB
        gains = 10.0 ** ((low + (high - low) * generator.random((len(rows), 1))) / 20.0)
        if not recipe.augmentation.is_off:
            waveforms = np.stack(
                [
                    augment(
                        one,
                        sample_rate=recipe.tagger.sample_rate,
                        settings=recipe.augmentation,
                        generator=generator,
                    )
                    for one in waveforms
                ]
            )
        waveforms, labels = overlap_clips(
            waveforms * gains.astype(np.float32),
            labels,
            generator=generator,
            share=recipe.overlapped,
            range_db=recipe.overlap_range_db,
        )
        shares = generator.random(len(rows)) if recipe.mixup else np.ones(len(rows))
        return TaggerBatch(
            kind,
            rows,
            torch.from_numpy(waveforms),
            torch.from_numpy(labels),
            torch.from_numpy(shares.astype(np.float32)),
        )

    def loss(self, batch: TaggerBatch) -> Tensor:
        """See `Task`; binary cross-entropy of the clip-wise probabilities, where the labels are known."""
        return self.loss_of(batch.waveforms.to(self.device), batch)

    def loss_of(self, waveforms: Tensor, batch: TaggerBatch) -> Tensor:
        """Compute it of what is heard, of shape (items, samples), and of the labels of a batch."""
        log_mel = self.tagger.log_mel(waveforms)
        if self.recipe.masked:
            floor = float(log_mel.detach().mean())
            for axis, longest in _MASKS:
                log_mel = masked(log_mel, axis=axis, longest=longest, value=floor)
        labels, shares = batch.labels.to(self.device), batch.shares.to(self.device)[:, None]
        known = labels != _UNKNOWN
        if self.recipe.mixup:
            log_mel = shares[..., None] * log_mel + (1.0 - shares[..., None]) * log_mel.flip(0)
            labels = shares * labels + (1.0 - shares) * labels.flip(0)
            known = known & known.flip(0)
        probs = self._tag(log_mel).clipwise_probs.float().clamp(_EPS, 1 - _EPS)
        with torch.autocast(self.device.type, enabled=False):  # which refuses it
            losses = F.binary_cross_entropy(probs, labels, weight=known.to(probs), reduction="sum")
        return losses / known.sum().clamp(min=1)  # of a batch of which nothing is known, nothing is learned

    def names(self, batch: TaggerBatch) -> Sequence[str]:
        """See `Task`."""
        return [f"{batch.kind} {row}" for row in batch.rows.tolist()]

    def _draw(self, step: int, lane: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Draw clips: any, or balanced one of each class in a shuffled round of them."""
        plan = self.recipe.plan
        if not self.recipe.balanced:
            return generator.integers(len(self._clips.labels), size=plan.lane_items)
        first = (step * plan.lanes + lane) * plan.lane_items
        rows = []
        for number in range(first, first + plan.lane_items):
            turn, place = divmod(number, len(self._members))
            order = counter_generator(plan.seed, "classes", turn).permutation(len(self._members))
            rows.append(generator.choice(self._members[order[place]]))
        return np.array(rows)

    def _crop(self, waveforms: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
        """Cut excerpts of one length out of clips, each at a place of its own."""
        if self.recipe.crop_seconds is None:
            return waveforms
        low, high = self.recipe.crop_seconds
        seconds = low + (high - low) * generator.random()
        samples = min(round(seconds * self.recipe.tagger.sample_rate), self._samples)
        starts = generator.integers(self._samples - samples + 1, size=len(waveforms))
        return np.stack([one[start : start + samples] for one, start in zip(waveforms, starts, strict=True)])


class AnchorLabels:
    """Packed anchors with what is known to sound in each.

    Parameters
    ----------
    anchors : TrainingAnchors
    vocabulary : Vocabulary
    """

    def __init__(self, anchors: TrainingAnchors, vocabulary: Vocabulary) -> None:
        self.anchors = anchors
        self._subtrees, self._related = vocabulary.subtrees(), vocabulary.relatives()
        self._draws: DrawPlan | None = None

    def draws(self, recipe: TaggerRecipe) -> DrawPlan:
        """Give the plan by which a run draws them."""
        if self._draws is None or self._draws.settings != recipe.plan:
            self._draws = DrawPlan(self.anchors.catalogue, settings=recipe.plan)
        return self._draws

    def read(
        self, rows: NDArray[np.int64], *, unknown: Literal["heard", "labels"] = "heard"
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read anchors: waveforms (anchors, samples) and labels (anchors, classes)."""
        read = self.anchors.read(rows.tolist())
        return (
            np.stack([anchor.waveform for anchor in read]),
            self.labels(rows, unknown=unknown),
        )

    def labels(
        self, rows: NDArray[np.int64], *, unknown: Literal["heard", "labels"] = "heard"
    ) -> NDArray[np.float32]:
        """Say which classes sound in anchors, of shape (anchors, classes): 1, 0, or between where nobody knows."""
        return np.stack([self._labels(row, unknown) for row in rows.tolist()])

    def _labels(self, row: int, unknown: Literal["heard", "labels"]) -> NDArray[np.float32]:
        catalogue = self.anchors.catalogue
        index = int(catalogue.class_indexes[row])
        heard = catalogue.heard.of(row) if unknown == "heard" else ()
        may_sound = np.r_[index, catalogue.labels.of(row), heard].astype(np.int64)
        labels = np.where(self._related[may_sound].any(axis=0), np.float32(_UNKNOWN), np.float32(0))
        labels[self._subtrees[:, index]] = 1.0
        return labels


def _check(recipe: TaggerRecipe, clips: WeakClips, anchors: AnchorLabels | None) -> None:
    classes, rate = clips.labels.shape[1], recipe.tagger.sample_rate
    if recipe.tagger.classes != classes:
        raise ConfigError(
            "training setting tagger.classes",
            expected=f"{classes}, as in the class list",
            found=str(recipe.tagger.classes),
        )
    if recipe.crop_seconds is not None and recipe.crop_seconds[1] > clips.samples / rate:
        raise ConfigError(
            "training setting crop_seconds",
            expected=f"at most the {clips.samples / rate:g} s of a clip",
            found=f"{recipe.crop_seconds[1]:g}",
        )
    if recipe.anchor_share and anchors is None:
        raise ConfigError(
            "training setting anchor_share", expected="0 without anchors", found=f"{recipe.anchor_share:g}"
        )
    if anchors is not None and anchors.anchors.manifest.sample_rate != rate:
        raise ConfigError(
            "training setting tagger.sample_rate",
            expected=f"that of the anchors, {anchors.anchors.manifest.sample_rate}",
            found=str(rate),
        )
    if recipe.plan.lane_items == 1:
        raise ConfigError(
            "training setting batch_size",
            expected="two items or more a lane, for norm statistics are taken over a lane",
            found=f"{recipe.plan.batch_size} in {recipe.plan.lanes} lanes",
        )


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
        Weak labels, 0 or 1, or between them where it is unknown.
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
