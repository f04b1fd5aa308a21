"""When targets sound: segment probabilities against a threshold.

Owns no model; where the probabilities come from is the session's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uss_ray.separation.targets import Target


@dataclass(frozen=True)
class Activity:
    """When each target sounds.

    Attributes
    ----------
    probs : ndarray of shape (segments, targets), dtype=float32
        Largest probability of the target's classes, in [0, 1]; 0 where the mixture is silent, NaN of a target
        without classes.
    active : ndarray of shape (segments, targets), dtype=bool
    """

    probs: NDArray[np.float32]
    active: NDArray[np.bool_]


def find_activity(
    class_probs: NDArray[np.float32],
    *,
    targets: Sequence[Target],
    audible: NDArray[np.bool_],
    threshold: float,
    excluded_indexes: Sequence[int] = (),
) -> Activity:
    """Tell in which segments targets sound.

    Parameters
    ----------
    class_probs : ndarray of shape (segments, classes), dtype=float32
        In [0, 1].
    targets : sequence of Target
    audible : ndarray of shape (segments,), dtype=bool
        False where the mixture is silent.
    threshold : float
        Least probability of an active target, in [0, 1].
    excluded_indexes : sequence of int, default=()
        Classes that make no target active. They still count in `probs`.

    Returns
    -------
    Activity
    """
    shape = (len(class_probs), len(targets))
    probs = np.zeros(shape, dtype=np.float32)
    active = np.zeros(shape, dtype=np.bool_)
    for column, target in enumerate(targets):
        if not target.class_indexes:
            probs[:, column] = np.nan
            active[:, column] = audible
            continue
        probs[:, column] = np.where(audible, class_probs[:, list(target.class_indexes)].max(axis=1), 0.0)
        remaining = sorted(set(target.class_indexes).difference(excluded_indexes))
        if target.condition is not None:
            active[:, column] = audible
        elif remaining:
            active[:, column] = audible & (class_probs[:, remaining].max(axis=1) >= threshold)
    return Activity(probs, active)
