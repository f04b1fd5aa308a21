"""From an item to its arrays: sources at their levels, their sum, and what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uss_ray.anchors.packed_reader import PackedAnchor
from uss_ray.mixtures import matching_gain
from uss_ray.training.augmentation import augment
from uss_ray.training.mixing import Item
from uss_ray.training.recipe import AugmentationSettings, MixtureSettings

TEXTURE_DB = (-20.0, -10.0)
LOWEST_RMS = 1e-4


@dataclass(frozen=True, eq=False)
class RenderedItem:
    """The sound of an item.

    Parameters
    ----------
    mixture, target : ndarray of shape (samples,), dtype=float32
        The target is silence where what is asked for is not there.
    """

    mixture: NDArray[np.float32]
    target: NDArray[np.float32]


def render(
    item: Item,
    anchors: Sequence[PackedAnchor],
    *,
    settings: MixtureSettings,
    augmentation: AugmentationSettings,
    samples: int,
    sample_rate: int,
    seed: int,
) -> RenderedItem:
    """Mix an item.

    Parameters
    ----------
    item : Item
    anchors : sequence of PackedAnchor
        As `item.anchors` names them.
    settings : MixtureSettings
    augmentation : AugmentationSettings
    samples : int
        Length; an anchor's or less.
    sample_rate : int
        In Hz.
    seed : int
        Of the run.

    Returns
    -------
    RenderedItem
    """
    generator = item.generator(seed, "sound")
    waveforms = [anchor.waveform[:samples] for anchor in anchors]
    sources = [
        augment(waveform, sample_rate=sample_rate, settings=augmentation, generator=generator)
        for waveform in waveforms
    ]
    target, *others = sources
    if item.twin is not None:
        twin, *others = others
        target = target + twin * matching_gain(target, twin)
    first = target  # what the others are levelled to
    if item.companion is not None:
        companion, *others = others
        target = target + companion * (
            matching_gain(first, companion) if settings.levels == "matched" else np.float32(1)
        )
    scale = 1.0
    if settings.target_rms_dbfs is not None:
        low, high = settings.target_rms_dbfs
        level_db = low + (high - low) * generator.random()
        rms = max(float(np.sqrt(np.mean(target**2))), LOWEST_RMS)
        scale = 10.0 ** (level_db / 20.0) / rms
    target, first = target * np.float32(scale), first * np.float32(scale)
    mixture = target.copy()
    for number, other in enumerate(others):
        is_texture = item.texture is not None and number == len(others) - 1
        below, above = TEXTURE_DB if is_texture else (-settings.snr_range_db, settings.snr_range_db)
        offset_db = below + (above - below) * generator.random()
        gain = matching_gain(first, other, scale=scale) if settings.levels == "matched" else scale
        mixture += other * np.float32(gain * 10.0 ** (offset_db / 20.0))
    wanted = np.zeros_like(target) if item.is_absent else target
    return RenderedItem(mixture=mixture, target=wanted)
