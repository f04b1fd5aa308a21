"""Train on clips that lie on the device: cut, mixed and changed there, with no loader that a fast GPU would wait for.

Owns what is different from tasks that read a pack: where the sound lies and who mixes it. Which anchors make an item,
which conditions, labels and losses are those of `SeparatorTask` and `TaggerTask`. For data sets that fit: an hour of
sound takes 0.23 GB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uss_ray.anchors.anchor import Anchor, recording_of
from uss_ray.anchors.catalogue import AnchorCatalogue, Lists
from uss_ray.anchors.packed import WEIGHT_FLOOR, PackManifest, clip_key
from uss_ray.anchors.packed_reader import PackedAnchor
from uss_ray.errors import DataError
from uss_ray.mixtures import ENERGY_FLOOR, GAIN_RANGE
from uss_ray.training.batch_augmentation import augment_batch
from uss_ray.training.mixing import Item
from uss_ray.training.plan import counter_generator
from uss_ray.training.recipe import TaggerRecipe
from uss_ray.training.render import LOWEST_RMS, TEXTURE_DB
from uss_ray.training.separator import SeparatorBatch, SeparatorTask
from uss_ray.training.tagger import LEVEL_DB, AnchorLabels, TaggerBatch, TaggerTask

_GROUP_ANCHORS = 16
_NOTHING = np.zeros(0, np.float32)


class ResidentClips:
    """Weakly labelled clips of one length, on a device.

    Parameters
    ----------
    audio : ndarray of shape (clips, samples), dtype=int16
    labels : ndarray of shape (clips, classes), dtype=float32
        0 or 1.
    device : device
    """

    def __init__(
        self, audio: NDArray[np.int16], labels: NDArray[np.float32], *, device: torch.device | str
    ) -> None:
        self.audio = torch.from_numpy(audio).to(device)
        self.labels = labels
        self.samples = audio.shape[1]

    def waveform(self, clips: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Give whole clips, of shape (clips, samples), in [-1, 1]."""
        cut: NDArray[np.float32] = self.cut(clips, np.zeros(len(clips), np.int64), self.samples).cpu().numpy()
        return cut

    def cut(self, clips: NDArray[np.int64], starts: NDArray[np.int64], samples: int) -> Tensor:
        """Give excerpts, of shape (clips, samples), float32 in [-1, 1], on the device; beyond a clip is silence."""
        device = self.audio.device
        rows, first = (torch.from_numpy(each).to(device) for each in (clips, starts))
        place = first[:, None] + torch.arange(samples, device=device)
        heard = self.audio[rows[:, None], place.clamp(max=self.samples - 1)].float() / 32768.0
        return heard * (place < self.samples)


class ResidentAnchors:
    """Mined anchors as places in resident clips; gives what training takes of a pack.

    Parameters
    ----------
    anchors : sequence of Anchor
        Of one length, each with its soft condition.
    clips : ResidentClips
    rows : mapping of str to int
        Row of each clip id.
    manifest : PackManifest
        Of all but counts and checksums, which follow from the anchors.

    Raises
    ------
    DataError
        If there is no anchor.
    """

    root = "anchors on the device"

    def __init__(
        self,
        anchors: Sequence[Anchor],
        clips: ResidentClips,
        *,
        rows: Mapping[str, int],
        manifest: Mapping[str, object],
    ) -> None:
        if not anchors:
            raise DataError(self.root, expected="anchors", found="none")
        anchors = sorted(anchors, key=lambda anchor: anchor.class_index)
        self._clips = clips
        self._anchors = anchors
        self.clip_rows = np.array([rows[anchor.clip_id] for anchor in anchors])
        self.starts = np.array([anchor.start_sample for anchor in anchors])
        self.soft = np.stack([_soft(anchor) for anchor in anchors])
        classes = np.array([anchor.class_index for anchor in anchors])
        first = np.searchsorted(classes, classes)
        self.catalogue = AnchorCatalogue(
            name=self.root,
            class_indexes=classes,
            shards=np.zeros_like(classes),
            groups=(np.arange(len(classes)) - first) // _GROUP_ANCHORS,
            clips=self.clip_rows,
            labels=_lists([anchor.label_indexes for anchor in anchors]),
            heard=_lists([anchor.prob_indexes for anchor in anchors]),
            recordings=np.array([clip_key(recording_of(anchor.clip_id)) for anchor in anchors]),
        )
        places = "\n".join(anchor.anchor_id for anchor in anchors)
        self.manifest = PackManifest(
            anchors=len(anchors),
            sample_rate=anchors[0].sample_rate,
            samples=len(anchors[0].waveform),
            conditions=("soft",),
            counts=self.catalogue.counts,
            clips=len(set(self.clip_rows.tolist())),
            seed=0,
            shards=(),
            catalogue_sha256=hashlib.sha256(places.encode()).hexdigest(),
            **manifest,  # type: ignore[arg-type]
        )

    def class_means(self, kind: str) -> dict[int, NDArray[np.float32]]:
        """Give the mean condition of each class, weighted by score as in a pack.

        Raises
        ------
        DataError
            If another kind than "soft" is asked for.
        """
        if kind != "soft":
            raise DataError(self.root, expected="soft conditions", found=f"a wish for {kind} ones")
        classes, scores = self.catalogue.class_indexes, np.array([anchor.score for anchor in self._anchors])
        means = {}
        for index in self.catalogue.classes:
            weights = scores[classes == index] + WEIGHT_FLOOR
            means[index] = np.average(self.soft[classes == index], axis=0, weights=weights).astype(np.float32)
        return means

    def read(self, rows: Sequence[int]) -> list[PackedAnchor]:
        """Give anchors with their sound, by their rows in the catalogue."""
        sound = self.cut(np.asarray(rows, np.int64)).cpu().numpy()
        return [replace(self.described(row), waveform=one) for row, one in zip(rows, sound, strict=True)]

    def described(self, row: int) -> PackedAnchor:
        """Give an anchor without its sound."""
        return PackedAnchor(
            class_index=int(self.catalogue.class_indexes[row]),
            score=self._anchors[row].score,
            waveform=_NOTHING,
            soft=self.soft[row],
            latent=None,
        )

    def cut(self, rows: NDArray[np.int64], samples: int | None = None) -> Tensor:
        """Give the sound of anchors, of shape (rows, samples), on the device."""
        return self._clips.cut(self.clip_rows[rows], self.starts[rows], samples or self.manifest.samples)


class ResidentSeparatorTask(SeparatorTask):
    """A separator, trained on anchors that lie on the device; parameters and errors are those of `SeparatorTask`.

    Its batches hold no sound until their loss is computed: draws of levels and changes come from torch's generator,
    which `fit` seeds by step and lane.
    """

    anchors: ResidentAnchors

    def load(self, step: int, lane: int) -> SeparatorBatch:
        """See `Task`."""
        items = self.mixtures.items(step, lane)
        described = {row: self.anchors.described(row) for item in items for _, row in item.asked}
        bottlenecks = [self._bottleneck(item, described) for item in items]
        nothing = torch.zeros(len(items), 0)
        return SeparatorBatch(
            items=items,
            mixtures=nothing,
            targets=nothing,
            bottlenecks=torch.from_numpy(np.stack(bottlenecks)),
            queries=nothing,
        )

    def loss(self, batch: SeparatorBatch) -> Tensor:
        """See `Task`."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            mixtures, targets = self.render(batch.items)
        return super().loss(replace(batch, mixtures=mixtures, targets=targets))

    def render(self, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
        """Mix items as `render.render` does: mixtures and targets of shape (items, samples)."""
        settings, device = self.recipe.mixtures, self.device
        most = max(len(item.anchors) for item in items)
        rows = np.zeros((len(items), most), np.int64)
        # What each source is: 0 nothing, 1 target, 2 twin, 3 partner, 4 texture, 5 companion.
        kinds = np.zeros((len(items), most), np.int64)
        for place, item in enumerate(items):
            count = len(item.anchors)
            rows[place, :count] = item.anchors
            kinds[place, :count] = 3
            kinds[place, 0] = 1
            if item.twin is not None:
                kinds[place, 1] = 2
            if item.companion is not None:
                kinds[place, 1 if item.twin is None else 2] = 5
            if item.texture is not None:
                kinds[place, count - 1] = 4
        sources = self.anchors.cut(rows.reshape(-1), self.samples)
        sources = augment_batch(
            sources, sample_rate=self.anchors.manifest.sample_rate, settings=self.recipe.augmentation
        ).unflatten(0, rows.shape)
        kind = torch.from_numpy(kinds).to(device)[..., None]
        target = sources[:, 0]
        twins = (sources * (kind == 2)).sum(dim=1)
        first = target = target + twins * _matching_gains(target, twins)
        companions = (sources * (kind == 5)).sum(dim=1)
        target = first + companions * (
            _matching_gains(first, companions) if settings.levels == "matched" else 1.0
        )
        scale = torch.ones(len(items), 1, device=device)
        if settings.target_rms_dbfs is not None:
            low, high = settings.target_rms_dbfs
            levels_db = low + (high - low) * torch.rand(len(items), 1, device=device)
            rms = target.square().mean(dim=1, keepdim=True).sqrt().clamp(min=LOWEST_RMS)
            scale = 10.0 ** (levels_db / 20.0) / rms
        target, first = target * scale, first * scale
        gains = scale[:, None]
        if settings.levels == "matched":
            gains = _matching_gains(first[:, None], sources, scale=gains)
        dice = torch.rand(*rows.shape, 1, device=device)
        below, above = TEXTURE_DB
        texture_db = below + (above - below) * dice
        partner_db = settings.snr_range_db * (2.0 * dice - 1.0)
        offsets_db = torch.where(kind == 4, texture_db, partner_db)
        others = sources * gains * 10.0 ** (offsets_db / 20.0) * ((kind == 3) | (kind == 4))
        absent = torch.tensor([item.is_absent for item in items], device=device)[:, None]
        return target + others.sum(dim=1), target * ~absent


class ResidentTaggerTask(TaggerTask):
    """A tagger, trained on clips and anchors that lie on the device.

    Parameters and errors are those of `TaggerTask`; the anchors are resident ones.
    """

    def __init__(
        self,
        recipe: TaggerRecipe,
        clips: ResidentClips,
        *,
        anchors: AnchorLabels | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(recipe, clips, anchors=anchors, device=device)
        self._resident = clips
        self._resident_anchors = None if anchors is None else cast(ResidentAnchors, anchors.anchors)

    def load(self, step: int, lane: int) -> TaggerBatch:
        """See `Task`; without sound."""
        recipe = self.recipe
        generator = counter_generator(recipe.plan.seed, "clips", step, lane)
        if self._anchors is not None and generator.random() < recipe.anchor_share:
            kind, rows = "anchor", self._anchors.draws(recipe).anchors(step, lane)
            labels = self._anchors.labels(rows, unknown=recipe.unknown)
        else:
            kind, rows = "clip", self._draw(step, lane, generator)
            labels = self._clips.labels[rows]
        shares = generator.random(len(rows)) if recipe.mixup else np.ones(len(rows))
        return TaggerBatch(
            kind,
            rows,
            torch.zeros(len(rows), 0),
            torch.from_numpy(labels),
            torch.from_numpy(shares.astype(np.float32)),
        )

    def loss(self, batch: TaggerBatch) -> Tensor:
        """See `Task`."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            waveforms, labels = self.render(batch)
        return self.loss_of(waveforms, replace(batch, labels=labels))

    def render(self, batch: TaggerBatch) -> tuple[Tensor, Tensor]:
        """Cut, change and overlap what a batch hears: waveforms (items, samples) and their labels."""
        recipe, device = self.recipe, self.device
        rate = recipe.tagger.sample_rate
        if batch.kind == "anchor" and self._resident_anchors is not None:
            sound = self._resident_anchors.cut(batch.rows)
        else:
            samples = self._resident.samples
            if recipe.crop_seconds is not None:
                low, high = recipe.crop_seconds
                samples = min(round((low + (high - low) * float(torch.rand(()))) * rate), samples)
            starts = (torch.rand(len(batch.rows)) * (self._resident.samples - samples + 1)).long().numpy()
            sound = self._resident.cut(batch.rows, starts, samples)
        sound = augment_batch(sound, sample_rate=rate, settings=recipe.augmentation)
        low, high = LEVEL_DB
        sound = sound * 10.0 ** ((low + (high - low) * torch.rand(len(sound), 1, device=device)) / 20.0)
        order = torch.randperm(len(sound), device=device)
        chosen = (torch.rand(len(sound), 1, device=device) < recipe.overlapped).float()
        range_db = recipe.overlap_range_db * (2.0 * torch.rand(len(sound), 1, device=device) - 1.0)
        other = sound[order]
        gains = chosen * _matching_gains(sound, other) * 10.0 ** (range_db / 20.0)
        labels = batch.labels.to(device)
        return sound + gains * other, torch.maximum(labels, chosen * labels[order])


def _matching_gains(targets: Tensor, others: Tensor, *, scale: float | Tensor = 1.0) -> Tensor:
    """Give the factors that bring others to the energy of targets, over the last axis; see `mixtures.matching_gain`."""
    energies = (each.square().sum(dim=-1, keepdim=True) for each in (targets, others))
    wanted, there = energies
    gains = (wanted / there.clamp(min=ENERGY_FLOOR)).sqrt()
    lowest, highest = (torch.as_tensor(limit * scale, device=gains.device) for limit in GAIN_RANGE)
    return gains.clamp(lowest, highest)


def _soft(anchor: Anchor) -> NDArray[np.float32]:
    if anchor.soft is None:
        raise DataError(f"anchor {anchor.anchor_id}", expected="a soft condition", found="none")
    return anchor.soft


def _lists(lists: Sequence[Sequence[int]]) -> Lists:
    return Lists(
        values=np.concatenate([np.asarray(each, np.int16) for each in lists]),
        ends=np.r_[0, np.cumsum([len(each) for each in lists])],
    )
