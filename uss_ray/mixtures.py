"""Anchors become mixtures: energy matching, and who may be mixed with whom."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_ENERGY_FLOOR = 1e-10
_GAIN_RANGE = (0.02, 50.0)
_RING_TRIES = 8


def match_energy(target: Tensor, interference: Tensor) -> Tensor:
    """Scale the interference to the energy of the target.

    Parameters
    ----------
    target, interference : Tensor of shape (..., samples)

    Returns
    -------
    Tensor of shape (..., samples)
        The interference times a gain limited to [0.02, 50].

    Notes
    -----
    Kong et al. 2023, data augmentation by energy matching; limits of the released program.
    """
    ratio = target.square().sum(-1, keepdim=True) / interference.square().sum(-1, keepdim=True).clamp(
        min=_ENERGY_FLOOR
    )
    return interference * ratio.sqrt().clamp(*_GAIN_RANGE)


def mix_in_ring(anchors: Tensor) -> Tensor:
    """Mix each anchor with the next one of the batch, the last with the first.

    Parameters
    ----------
    anchors : Tensor of shape (batch, samples)

    Returns
    -------
    Tensor of shape (batch, samples)
        Mixture n holds anchor n as target and anchor n + 1 as interference of the same energy, so that each anchor is
        target once and interference once.
    """
    return anchors + match_energy(anchors, anchors.roll(-1, dims=0))


def order_ring(
    class_indexes: np.ndarray, labels: np.ndarray, *, related: np.ndarray, generator: torch.Generator
) -> np.ndarray:
    """Order a batch so that neighbours in the ring can be told apart by their classes.

    Parameters
    ----------
    class_indexes : ndarray of shape (batch,), dtype=int
        Class that each anchor was mined for.
    labels : ndarray of shape (batch, classes)
        Weak labels of each anchor's clip, 0 or 1.
    related : ndarray of shape (classes, classes), dtype=bool
        True where two classes are the same, or one holds the other in the ontology.
    generator : torch.Generator

    Returns
    -------
    ndarray of shape (batch,), dtype=int
        An order in which as few neighbours as possible conflict: two anchors conflict if their classes are related or
        the clip of one is labelled with the class of the other.
    """
    present = labels[:, class_indexes].T > 0
    conflict = related[np.ix_(class_indexes, class_indexes)] | present | present.T
    tries = [_greedy_ring(conflict, generator) for _ in range(_RING_TRIES)]
    return min(tries, key=lambda order: int(conflict[order, np.roll(order, -1)].sum()))


def _greedy_ring(conflict: np.ndarray, generator: torch.Generator) -> np.ndarray:
    size = len(conflict)
    order = torch.randperm(size, generator=generator).numpy()
    for place in range(1, size):
        last = order[place - 1]
        free = [k for k in range(place, size) if not conflict[last, order[k]]]
        if free:
            order[[place, free[0]]] = order[[free[0], place]]
    return order
