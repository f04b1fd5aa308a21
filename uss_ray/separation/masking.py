"""Arithmetic of masks and channels: exclusion, mixture consistency, and which channel a mask is made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CANCELLED_MID = 0.01
_SHARE_FLOOR = 1e-12
_SHARING_STEPS = 200


def remainder_of(excluded_masks: Tensor) -> Tensor:
    """Give the mask of everything but what some masks let through.

    Parameters
    ----------
    excluded_masks : Tensor of shape (excluded, ...), complex

    Returns
    -------
    Tensor of shape (...), real
        In [0, 1]; ones when nothing is excluded.
    """
    return (1.0 - excluded_masks.abs()).clamp(min=0.0).prod(dim=0)


def share_masks(masks: Tensor, *, given_back: float) -> Tensor:
    """Turn masks down where they let more through than there is, and give them some of what they leave.

    Parameters
    ----------
    masks : Tensor of shape (targets, ...), complex
    given_back : float
        How much of the rest, in [0, 1]; it goes to each mask by its share of the energy.

    Returns
    -------
    Tensor of shape (targets, ...), complex
        Real masks sum to 1 at most.
    """
    shared = masks / masks.abs().sum(dim=0).clamp(min=1.0)
    total = torch.ones_like(masks[0].real)
    return shared + given_back * (make_consistent(shared, total=total) - shared)


def share_estimates(estimates: Tensor, *, total: Tensor, given_back: float) -> Tensor:
    """Turn estimates down until what they leave holds none of their sound turned round, and give them some of it.

    Parameters
    ----------
    estimates : Tensor of shape (targets, channels, samples)
    total : Tensor of shape (channels, samples)
        What they share.
    given_back : float
        How much of the rest, in [0, 1]; it goes to each estimate by its share of the energy in the channel.

    Returns
    -------
    Tensor of shape (targets, channels, samples)
        Each times a factor in [0, 1] for each channel, and a share of the rest; equal estimates get equal factors.
    """
    of_channel = estimates.transpose(0, 1).double()
    gram = of_channel @ of_channel.mT
    held = (of_channel @ total.double().unsqueeze(-1)).squeeze(-1)
    factors = torch.ones_like(held)
    for _ in range(_SHARING_STEPS):
        taken = (gram @ factors.unsqueeze(-1)).squeeze(-1)
        # Of the sound of each: what there is by what is taken of it, by whomever.
        factors = factors * torch.where(taken > 0, held / taken, 1.0).clamp(0.0, 1.0)
    shared = estimates * factors.mT.unsqueeze(-1).to(estimates.dtype)
    consistent = make_estimates_consistent(shared, levels=[0] * len(shared), total=total)
    return shared + given_back * (consistent - shared)


def make_consistent(masks: Tensor, *, total: Tensor) -> Tensor:
    """Spread what is missing over masks, so that they sum to a total.

    Parameters
    ----------
    masks : Tensor of shape (targets, ...), complex
        Of one level.
    total : Tensor of shape (...), real
        What they shall sum to; ones for the whole mixture.

    Returns
    -------
    Tensor of shape (targets, ...), complex
        The missing part goes to each mask by its share of the energy; where all masks are zero, in equal parts.
    """
    energies = masks.real.square() + masks.imag.square() + _SHARE_FLOOR
    return masks + (total - masks.sum(dim=0)) * (energies / energies.sum(dim=0))


def make_levels_consistent(masks: Tensor, *, levels: Sequence[int | None], total: Tensor) -> Tensor:
    """Apply `make_consistent` to the masks of each level apart; those of no level stay as they are.

    Parameters
    ----------
    masks : Tensor of shape (targets, ...), complex
    levels : sequence of int or None
        One for each mask.
    total : Tensor of shape (...), real

    Returns
    -------
    Tensor of shape (targets, ...), complex
    """
    consistent = masks.clone()
    for level in {level for level in levels if level is not None}:
        rows = [row for row, other in enumerate(levels) if other == level]
        consistent[rows] = make_consistent(masks[rows], total=total)
    return consistent


def make_estimates_consistent(estimates: Tensor, *, levels: Sequence[int | None], total: Tensor) -> Tensor:
    """Spread what is missing over the estimates of each level, so that they sum to the mixture.

    Parameters
    ----------
    estimates : Tensor of shape (targets, channels, samples)
    levels : sequence of int or None
        One for each target; estimates of no level stay as they are.
    total : Tensor of shape (channels, samples)
        What those of a level shall sum to.

    Returns
    -------
    Tensor of shape (targets, channels, samples)
        The missing part goes to each estimate by its share of the energy in the channel; where all are silent, in equal
        parts (Wisdom et al. 2019).
    """
    consistent = estimates.clone()
    for level in {level for level in levels if level is not None}:
        rows = [row for row, other in enumerate(levels) if other == level]
        of_level = estimates[rows]
        energies = of_level.square().mean(dim=-1, keepdim=True) + _SHARE_FLOOR
        consistent[rows] = of_level + (total - of_level.sum(dim=0)) * (energies / energies.sum(dim=0))
    return consistent


def reference_weights(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weigh channels for the one signal that stands for all of them.

    Parameters
    ----------
    waveform : ndarray of shape (channels, samples), dtype=float32

    Returns
    -------
    ndarray of shape (channels,), dtype=float32
        Sum 1: the mid (mean) of the channels; where they cancel each other in it by 20 dB or more, as in anti-phase
        stereo, the loudest channel.
    """
    channels = len(waveform)
    energies = np.square(waveform, dtype=np.float64).mean(axis=1)
    mid_energy = float(np.square(waveform.mean(axis=0), dtype=np.float64).mean())
    if mid_energy >= _CANCELLED_MID * energies.mean():
        return np.full(channels, 1.0 / channels, dtype=np.float32)
    return np.eye(channels, dtype=np.float32)[int(energies.argmax())]
