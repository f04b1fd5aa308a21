"""When targets sound, and where they are separated: segment probabilities against a threshold.

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
        without classes or with none that the weights know.
    detected : ndarray of shape (segments, targets), dtype=bool
        Where the probability reaches the threshold; of a target without classes, or with a condition of its own, where
        there is sound; never of one that the weights do not know.
    active : ndarray of shape (segments, targets), dtype=bool
        Where it is to be separated: where a gated target is detected, and another where there is sound.
    """

    probs: NDArray[np.float32]
    detected: NDArray[np.bool_]
    active: NDArray[np.bool_]

    @classmethod
    def none(cls, targets: int) -> Activity:
        """Make one of no segments."""
        return cls(np.zeros((0, targets), np.float32), *(np.zeros((0, targets), np.bool_) for _ in range(2)))

    def then(self, later: Activity) -> Activity:
        """Add later segments."""
        return Activity(
            np.concatenate((self.probs, later.probs)),
            np.concatenate((self.detected, later.detected)),
            np.concatenate((self.active, later.active)),
        )

    def cut(self, segments: slice) -> Activity:
        """Take some of the segments."""
        return Activity(self.probs[segments], self.detected[segments], self.active[segments])


def find_activity(
    class_probs: NDArray[np.float32],
    *,
    targets: Sequence[Target],
    audible: NDArray[np.bool_],
    threshold: float,
    excluded_indexes: Sequence[int] = (),
) -> Activity:
    """Tell in which segments targets sound, and in which they are to be separated.

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
        Classes that make no target active, nor detected: a target that has no other is never separated. They still
        count in `probs`.

    Returns
    -------
    Activity
    """
    shape = (len(class_probs), len(targets))
    probs = np.zeros(shape, dtype=np.float32)
    detected = np.zeros(shape, dtype=np.bool_)
    active = np.zeros(shape, dtype=np.bool_)
    for column, target in enumerate(targets):
        indexes = list(target.class_indexes) if target.is_known else []
        probs[:, column] = np.where(audible, class_probs[:, indexes].max(axis=1), 0.0) if indexes else np.nan
        if target.condition is not None or not target.class_indexes:
            detected[:, column] = active[:, column] = audible
            continue
        remaining = sorted(set(target.class_indexes).difference(excluded_indexes))
        if remaining and indexes:
            detected[:, column] = audible & (class_probs[:, remaining].max(axis=1) >= threshold)
        if target.is_gated:
            active[:, column] = detected[:, column]
        elif remaining:
            active[:, column] = audible
    return Activity(probs, detected, active)
