"""When each node sounds: probabilities for the picture of a time line, spans for the index.

Owns pooling and merging of segments in bounded memory; which segment is active was decided before.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from uss_ray.results.index.table import ActiveSpan

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


class Activities(Mapping[str, Activity]):
    """What the segments of one recording said of each node; worked out of those that are looked at.

    Parameters
    ----------
    keys : sequence of str
        Nodes.
    maxima : ndarray of shape (columns, nodes), dtype=float32
        See `Activity.probabilities`.
    column_seconds : float
        Duration of a column.
    spans : mapping of str to tuple of ActiveSpan
        Of the nodes that are active somewhere.

    Attributes
    ----------
    highest : ndarray of shape (nodes,), dtype=float32
        The maximum over all segments; NaN where nothing was tagged.
    """

    def __init__(
        self,
        keys: Sequence[str],
        *,
        maxima: Floats,
        column_seconds: float,
        spans: Mapping[str, tuple[ActiveSpan, ...]],
    ) -> None:
        self._keys = keys
        self._maxima = maxima
        self._column_seconds = column_seconds
        self._spans = spans
        self.highest: Floats = np.fmax.reduce(maxima, axis=0, initial=np.nan)

    def __getitem__(self, key: str) -> Activity:
        """Give what is known of a node."""
        if key not in self._keys:
            raise KeyError(key)
        place = self._keys.index(key)
        return Activity(
            probabilities=np.ascontiguousarray(self._maxima[:, place]),
            column_seconds=self._column_seconds,
            spans=self._spans.get(key, ()),
            highest_probability=known(self.highest[place]),
        )

    def __iter__(self) -> Iterator[str]:
        """Name the nodes, in their order."""
        return iter(self._keys)

    def __len__(self) -> int:
        """Count the nodes."""
        return len(self._keys)


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

    def result(self, *, total_seconds: float) -> Activities:
        """Give what is known of each node, spans cut at the end of the recording."""
        if len(self._first_starts) == 2:
            step_seconds = self._first_starts[1] - self._first_starts[0]
        else:
            step_seconds = self._last_end or total_seconds
        columns = -(-self._count // self._segments_per_column)
        return Activities(
            self._keys,
            maxima=self._maxima[:columns],
            column_seconds=step_seconds * self._segments_per_column,
            spans={
                key: tuple(
                    ActiveSpan(start_seconds=start, end_seconds=min(end, total_seconds))
                    for start, end in spans
                    if start < total_seconds
                )
                for key, spans in self._spans.items()
            },
        )

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


def known(probability: np.float32) -> float | None:
    """Give a probability, or None where nothing was tagged."""
    return None if np.isnan(probability) else float(probability)


def _extend(spans: list[tuple[float, float]], *, start: float, end: float) -> None:
    if spans and start <= spans[-1][1]:
        spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
    else:
        spans.append((start, end))
