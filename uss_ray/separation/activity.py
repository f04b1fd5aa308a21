"""When targets sound, and where they are separated: probabilities against thresholds, in segments and finer.

Owns no model; where the probabilities come from is the session's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uss_ray.separation.calibration import Calibration
from uss_ray.separation.naming import keep_names
from uss_ray.separation.targets import Target

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Spans = NDArray[np.float64]

# In a segment in which a sound is detected its frames count from this share of the threshold on, and gaps no longer
# than a frame of a coarse tagger are closed (docs/adr/0039).
_FRAME_SHARE = 0.25
_CLOSED_GAP_SECONDS = 0.35


@dataclass(frozen=True)
class Activity:
    """When each target sounds.

    Attributes
    ----------
    probs : ndarray of shape (segments, targets), dtype=float32
        Largest probability of the target's classes but for those that are excluded, calibrated, in [0, 1]; 0 where the
        mixture is silent, NaN of a target without classes or with none that the weights know.
    detected : ndarray of shape (segments, targets), dtype=bool
        Where one of its classes reaches its threshold; of a target without classes, or with a condition of its own,
        where there is sound; never of one that the weights do not know. An event is detected too where it keeps the
        name that it has near by.
    sure : ndarray of shape (segments, targets), dtype=bool
        Where it is detected, and one of its classes is sure.
    active : ndarray of shape (segments, targets), dtype=bool
        Where it is to be separated: where a gated target is detected and nothing more specific is, unless nothing
        steers to it, and another where there is sound.
    tagged : ndarray of shape (segments,), dtype=bool
        False where the mixture is silent.
    stem_probs : ndarray of shape (segments, targets), dtype=float32
        Probability of a target in its own estimate; NaN where that is not tagged.
    spans : tuple of ndarray of shape (n, 3), dtype=float64
        For each segment: target, and start and end in seconds from the segment's start, of what is detected in it; by
        target, then by start.
    """

    probs: Floats
    detected: Bools
    sure: Bools
    active: Bools
    tagged: Bools
    stem_probs: Floats
    spans: tuple[Spans, ...]

    @classmethod
    def none(cls, targets: int) -> Activity:
        """Make one of no segments."""
        return cls(**_empty((0, targets)), spans=())

    def then(self, later: Activity) -> Activity:
        """Add later segments."""
        arrays = {name: np.concatenate((array, getattr(later, name))) for name, array in self._arrays.items()}
        return Activity(**arrays, spans=self.spans + later.spans)

    def cut(self, segments: slice) -> Activity:
        """Take some of the segments."""
        arrays = {name: array[segments] for name, array in self._arrays.items()}
        return Activity(**arrays, spans=self.spans[segments])

    def without_estimates(self) -> Activity:
        """Tell it of segments in which nothing is separated: active is what is detected and would have been."""
        return replace(self, active=self.active & self.detected)

    @property
    def _arrays(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "spans"}


def find_activity(
    class_probs: Floats,
    *,
    targets: Sequence[Target],
    audible: Bools,
    calibration: Calibration,
    segment_seconds: float,
    frame_probs: Floats | None = None,
    excluded_indexes: Sequence[int] = (),
    names_reach: int = 0,
) -> Activity:
    """Tell in which segments targets sound, where in them, and in which they are to be separated.

    Parameters
    ----------
    class_probs : ndarray of shape (segments, classes), dtype=float32
        In [0, 1], as the tagger gives them.
    targets : sequence of Target
    audible : ndarray of shape (segments,), dtype=bool
        False where the mixture is silent.
    calibration : Calibration
        Of at least as many classes.
    segment_seconds : float
    frame_probs : ndarray of shape (segments, frames, classes), dtype=float32, optional
        The same of frames; the first is centred at a segment's start, the last at its end. None: a sound fills the
        segments in which it is detected.
    excluded_indexes : sequence of int, default=()
        Classes that make no target active, nor detected, and count in no probability: it is that of what is left. A
        target that has no other is never separated.
    names_reach : int, default=0
        How many segments away an event finds the more specific name that it keeps; see `naming.keep_names`.

    Returns
    -------
    Activity
    """
    shape = (len(class_probs), len(targets))
    calibrated = calibration.probs(class_probs)
    count = calibrated.shape[1]
    thresholds = {False: calibration.detected_from[:count], True: calibration.events_from[:count]}
    is_there = {is_event: calibrated >= least for is_event, least in thresholds.items()}
    is_sure = calibrated >= calibration.sure_from[:count]
    found = _empty(shape) | {"tagged": audible}
    probs, detected, sure, active = (found[name] for name in ("probs", "detected", "sure", "active"))
    counted: list[list[int]] = []
    for column, target in enumerate(targets):
        indexes = list(target.class_indexes) if target.is_known else []
        remaining = sorted(set(target.class_indexes).difference(excluded_indexes))
        told = remaining or indexes
        probs[:, column] = np.where(audible, calibrated[:, told].max(axis=1), 0.0) if indexes else np.nan
        counted.append(remaining if indexes and target.condition is None else [])
        if target.condition is not None or not target.class_indexes:
            detected[:, column] = active[:, column] = audible
            continue
        if remaining and indexes:
            detected[:, column] = audible & is_there[target.is_event][:, remaining].any(axis=1)
            sure[:, column] = audible & is_sure[:, remaining].any(axis=1)
        if target.is_gated:
            active[:, column] = detected[:, column] & target.is_separable
        elif remaining:
            active[:, column] = audible
    kept = keep_names(detected, probs=probs, targets=targets, reach=names_reach)
    instead: list[dict[int, int]] = [{} for _ in range(shape[0])]
    for segment, column, other in kept:
        detected[segment, column] = active[segment, column] = True
        instead[segment][column] = other
    _leave_to_specific(active, detected=detected, targets=targets)
    frames = None if frame_probs is None else calibration.probs(frame_probs)
    least = [_FRAME_SHARE * thresholds[target.is_event] for target in targets]
    spans = tuple(
        _spans_of_segment(
            np.flatnonzero(detected[segment]),
            counted=counted,
            frames=None if frames is None else frames[segment],
            least=least,
            seconds=segment_seconds,
            heard_as=instead[segment],
        )
        for segment in range(shape[0])
    )
    return Activity(**found, spans=spans)


def _empty(shape: tuple[int, int]) -> dict[str, Any]:
    flags = {name: np.zeros(shape, np.bool_) for name in ("detected", "sure", "active")}
    return flags | {
        "probs": np.zeros(shape, np.float32),
        "tagged": np.zeros(shape[0], np.bool_),
        "stem_probs": np.full(shape, np.nan, np.float32),
    }


def _leave_to_specific(active: Bools, *, detected: Bools, targets: Sequence[Target]) -> None:
    """Take from gated targets the segments in which a more specific one is detected and separated; in place."""
    columns = {target.key: column for column, target in enumerate(targets)}
    for column in np.flatnonzero(active.any(axis=0)).tolist():
        target = targets[column]
        below = [columns[key] for key in target.specific_keys if key in columns]
        below = [other for other in below if targets[other].is_separable]
        if below and target.is_gated:
            active[:, column] &= ~detected[:, below].any(axis=1)


def _spans_of_segment(
    found: NDArray[np.intp],
    *,
    counted: Sequence[Sequence[int]],
    frames: Floats | None,
    least: Sequence[Floats],
    seconds: float,
    heard_as: Mapping[int, int],
) -> Spans:
    spans: list[tuple[float, float, float]] = []
    for target in found.tolist():
        heard_by = heard_as.get(target, target)
        indexes = counted[heard_by]
        of_target = [(0.0, seconds)]
        if frames is not None and indexes:
            heard = (frames[:, indexes] >= least[heard_by][indexes]).any(axis=1)
            of_target = _runs(np.asarray(heard), seconds=seconds) or of_target
        spans += [(float(target), start, end) for start, end in of_target]
    return np.array(spans, np.float64).reshape(-1, 3)


def _runs(heard: Bools, *, seconds: float) -> list[tuple[float, float]]:
    """Give start and end of what is heard in a segment, to the millisecond; a frame reaches half way to the next."""
    step = seconds / max(1, len(heard) - 1)
    edges = np.flatnonzero(np.diff(heard.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    times = np.clip((edges - 0.5) * step, 0.0, seconds).round(3)
    runs = [(float(start), float(end)) for start, end in times]
    joined = runs[:1]
    for start, end in runs[1:]:
        if start - joined[-1][1] <= _CLOSED_GAP_SECONDS:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
