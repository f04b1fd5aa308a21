"""When each node sounds: probabilities for the picture of a time line, spans for the index.

Owns pooling and merging of segments in bounded memory; which segment is active was decided before.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from uss_ray.results.index import ActiveSpan

Floats = npt.NDArray[np.float32]

_FIRST_COLUMNS = 32  # most recordings of an archive are short


@dataclasses.dataclass(frozen=True)
class Activity:
    """What the segments of one recording said of one node.

    Parameters
    ----------
    probabilities : ndarray of shape (columns,), dtype=float32
        Highest probability in each column of equal duration, in [0, 1]; NaN where nothing was tagged.
    column_seconds : float
        Duration of a column; the last may reach past the end of the recording.
    spans : tuple of ActiveSpan
        Where the node is active.
    highest_probability : float or None, default=None
        The maximum over all segments; None where nothing was tagged.
    """

    probabilities: Floats
    column_seconds: float
    spans: tuple[ActiveSpan, ...]
    highest_probability: float | None = None


class ActivityLog:
    """Take segments one after the other and keep at most `max_columns` maxima and all active spans.

    Parameters
    ----------
    keys : sequence of str
        Nodes, in the order of the columns of what is added.
    max_columns : int, default=1000
        Even. Whenever it is reached, neighbours are joined in pairs.
    """

    def __init__(self, keys: Sequence[str], *, max_columns: int = 1000) -> None:
        self._keys = tuple(keys)
        self._max_columns = max_columns
        self._maxima = self._untagged(min(_FIRST_COLUMNS, max_columns))
        self._segments_per_column = 1
        self._count = 0
        self._first_starts: list[float] = []
        self._last_end = 0.0
        self._spans: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, probs: npt.ArrayLike, *, active: npt.ArrayLike, spans_seconds: npt.ArrayLike) -> None:
        """Take the next segments.

        Parameters
        ----------
        probs : array_like of shape (segments, nodes)
            Probabilities in [0, 1]; NaN for a node that is not tagged.
        active : array_like of shape (segments, nodes), dtype=bool
            Which nodes were separated where.
        spans_seconds : array_like of shape (segments, 2)
            Start and end of each segment on a regular grid.
        """
        active_flags = np.asarray(active, bool)
        for row, flags, (start, end) in zip(
            np.asarray(probs, np.float32), active_flags, np.asarray(spans_seconds, float), strict=True
        ):
            self._add_maxima(row)
            if len(self._first_starts) < 2:
                self._first_starts.append(float(start))
            self._last_end = float(end)
            for node in np.flatnonzero(flags):
                _extend(self._spans[self._keys[node]], start=float(start), end=float(end))

    def result(self, *, total_seconds: float) -> dict[str, Activity]:
        """Give what is known of each node, spans cut at the end of the recording."""
        if len(self._first_starts) == 2:
            step_seconds = self._first_starts[1] - self._first_starts[0]
        else:
            step_seconds = self._last_end or total_seconds
        columns = -(-self._count // self._segments_per_column)
        by_node = np.ascontiguousarray(self._maxima[:columns].T)
        highest = np.fmax.reduce(by_node, axis=1, initial=np.nan).tolist()
        return {
            key: Activity(
                probabilities=by_node[node],
                column_seconds=step_seconds * self._segments_per_column,
                spans=tuple(
                    ActiveSpan(start_seconds=start, end_seconds=min(end, total_seconds))
                    for start, end in self._spans.get(key, ())
                    if start < total_seconds
                ),
                highest_probability=None if math.isnan(highest[node]) else highest[node],
            )
            for node, key in enumerate(self._keys)
        }

    def _add_maxima(self, row: Floats) -> None:
        if self._count == len(self._maxima) * self._segments_per_column:
            self._make_room()
        column = self._count // self._segments_per_column
        self._maxima[column] = np.fmax(self._maxima[column], row)
        self._count += 1

    def _make_room(self) -> None:
        missing = self._max_columns - len(self._maxima)
        if missing:
            more = self._untagged(min(len(self._maxima), missing))
            self._maxima = np.concatenate([self._maxima, more])
        else:
            half = self._max_columns // 2
            self._maxima[:half] = np.fmax(self._maxima[0::2], self._maxima[1::2])
            self._maxima[half:] = np.nan
            self._segments_per_column *= 2

    def _untagged(self, columns: int) -> Floats:
        return np.full((columns, len(self._keys)), np.nan, np.float32)


def _extend(spans: list[tuple[float, float]], *, start: float, end: float) -> None:
    if spans and start <= spans[-1][1]:
        spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
    else:
        spans.append((start, end))
