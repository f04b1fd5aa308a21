"""Which name an event keeps: the most specific one that is detected near by, as long as the event goes on.

A tagger is sure of *Dog* in one segment and only of *Animal* in the next, of the same sound. Without this the stem
would be torn into two (docs/adr/0051).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from uss_ray.separation.targets import Target

Bools = NDArray[np.bool_]


def keep_names(
    detected: Bools,
    *,
    probs: NDArray[np.float32],
    targets: Sequence[Target],
    reach: int,
) -> list[tuple[int, int, int]]:
    """Find the segments of events that have a more specific name in a neighbouring segment.

    Parameters
    ----------
    detected : ndarray of shape (segments, targets), dtype=bool
        Consecutive segments; what is told of one depends on `reach` neighbours on each side of it.
    probs : ndarray of shape (segments, targets), dtype=float32
        Of two names that are equally near, the more probable one is kept.
    targets : sequence of Target
        Those that are no events, or have no gate, are left alone.
    reach : int
        How many segments away a name is looked for, as long as the event is detected without a break.

    Returns
    -------
    list of (int, int, int)
        Segment, target that is kept there (what lies between two names is as well), and the less specific target that
        is detected there in its place.
    """
    if not reach:
        return []
    events = {target.key: column for column, target in enumerate(targets) if target.is_event}
    below = {
        column: [events[key] for key in targets[column].specific_keys if key in events]
        for column in events.values()
        if targets[column].is_gated
    }
    named = detected.copy()
    for column, more_specific in below.items():
        named[:, column] &= ~detected[:, more_specific].any(axis=1)
    kept = []
    for column, more_specific in below.items():
        candidates = [other for other in more_specific if targets[other].is_known and named[:, other].any()]
        for segment in np.flatnonzero(named[:, column]).tolist() if candidates else ():
            name = _nearest(
                segment, detected[:, column], named[:, candidates], probs[segment, candidates], reach
            )
            if name is not None:
                chosen = candidates[name]
                between = [other for other in more_specific if chosen in below.get(other, ())]
                kept += [(segment, one, column) for one in (chosen, *between)]
    return kept


def _nearest(
    segment: int, goes_on: Bools, named: Bools, probs: NDArray[np.float32], reach: int
) -> int | None:
    """Find the name in use that is nearest to a segment without a break of the event; the more probable of several."""
    sides = [-1, 1]
    for distance in range(1, reach + 1):
        near = [segment + step * distance for step in sides]
        there = [0 <= place < len(goes_on) and bool(goes_on[place]) for place in near]
        found = np.zeros(named.shape[1], np.bool_)
        for place, is_there in zip(near, there, strict=True):
            if is_there:
                found |= named[place]
        if found.any():
            return int(np.argmax(np.where(found, np.nan_to_num(probs), -1.0)))
        sides = [step for step, is_there in zip(sides, there, strict=True) if is_there]
    return None
