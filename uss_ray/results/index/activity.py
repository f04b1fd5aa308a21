"""When each node sounds: probabilities for the picture of a time line, spans and certainty for the index.

Owns pooling and merging of segments in bounded memory; what sounds where in a segment was decided before.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from uss_ray.results.index.table import ActiveSpan, Certainty

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

_FIRST_COLUMNS = 32  # most recordings of an archive are short


class Loudness(enum.IntEnum):
    """What the tagger had to hear in a stretch; of several stretches it is the highest of theirs."""

    DIGITAL_SILENCE = 0
    UNTAGGED = 1
    """There is sound, all of it too quiet to be tagged: what it is nobody knows."""
    TAGGED = 2

    @classmethod
    def of(cls, block: HeardBlock) -> Loudness:
        """Tell it of a block."""
        if np.any(block.tagged):
            return cls.TAGGED
        return cls.UNTAGGED if np.any(block.mixture) else cls.DIGITAL_SILENCE


class HeardBlock(Protocol):
    """What blocks of the engine say of what there was to hear; see `blocks.EstimateBlock`."""

    @property
    def tagged(self) -> Flags: ...  # noqa: D102
    @property
    def mixture(self) -> Floats: ...  # noqa: D102


class SoundingSegments(Protocol):
    """What blocks of the engine and parts say of consecutive segments; see `blocks.EstimateBlock`."""

    @property
    def detected(self) -> Flags: ...  # noqa: D102
    @property
    def sure(self) -> Flags: ...  # noqa: D102
    @property
    def active(self) -> Flags: ...  # noqa: D102
    @property
    def detected_spans(self) -> Sequence[npt.NDArray[np.float64]]: ...  # noqa: D102
    @property
    def segment_spans_seconds(self) -> npt.NDArray[np.float64]: ...  # noqa: D102


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
        Where the node sounds.
    separated : tuple of ActiveSpan or None
        The segments in which something was separated, joined; None where that was not asked for.
    highest_probability : float or None, default=None
        The maximum over the segments of these spans, or where there are none over all; None where nothing was tagged.
    certainty : {"sure", "doubtful"} or None, default=None
        Whether it is sure in one of these spans; None where it is detected in none.
    stem_probability : float or None, default=None
        Its highest probability in its own stem; None where that was not tagged.
    """

    probabilities: Floats
    column_seconds: float
    spans: tuple[ActiveSpan, ...]
    separated: tuple[ActiveSpan, ...] | None = None
    highest_probability: float | None = None
    certainty: Certainty | None = None
    stem_probability: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sounding:
    """What sounds where in consecutive segments, one line a span: by segment, then by target and start.

    Parameters
    ----------
    targets : ndarray of shape (n,), dtype=int64
        Places of the targets.
    times : ndarray of shape (n, 2), dtype=float64
        Start and end in the recording in seconds.
    segments : ndarray of shape (n,), dtype=int64
        Which of the segments it lies in.
    detected, sure : ndarray of shape (n,), dtype=bool
        Whether the target is detected, and surely so, in the segment of the span.
    explained : ndarray of shape (n,), dtype=bool
        Whether it is detected in the segment and not separated.
    """

    targets: npt.NDArray[np.int64]
    times: npt.NDArray[np.float64]
    segments: npt.NDArray[np.int64]
    detected: Flags
    sure: Flags
    explained: Flags

    @classmethod
    def of(cls, segments: SoundingSegments) -> Sounding:
        """Take what is detected, at its own times."""
        counts = [len(spans) for spans in segments.detected_spans]
        numbers = np.repeat(np.arange(len(counts)), counts)
        spans = np.concatenate([np.zeros((0, 3)), *segments.detected_spans])
        targets, times = spans[:, 0].astype(np.int64), spans[:, 1:]
        active = np.asarray(segments.active, bool)
        return cls(
            targets=targets,
            times=times,
            segments=numbers,
            detected=np.asarray(segments.detected, bool)[numbers, targets],
            sure=np.asarray(segments.sure, bool)[numbers, targets],
            explained=~active[numbers, targets],
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stretches:
    """Where the nodes of a recording are heard, and where they are separated.

    Parameters
    ----------
    heard : mapping of str to tuple of ActiveSpan
        Of the nodes that sound somewhere.
    separated : mapping of str to tuple of ActiveSpan, or None
        See `Activity.separated`.
    explained : mapping of str to tuple of ActiveSpan
        Of the nodes that are detected somewhere, and nowhere separated: something more specific is, or nothing
        steers to them.
    """

    heard: Mapping[str, tuple[ActiveSpan, ...]]
    separated: Mapping[str, tuple[ActiveSpan, ...]] | None
    explained: Mapping[str, tuple[ActiveSpan, ...]]


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
    stretches : Stretches
    highest : ndarray of shape (nodes,), dtype=float32
        See `Activity.highest_probability`; NaN where nothing was tagged.
    certainties : mapping of str to {"sure", "doubtful"}
        Of the nodes that are detected.
    stem_probabilities : ndarray of shape (nodes,), dtype=float32
        NaN where no stem was tagged.

    Attributes
    ----------
    highest : ndarray of shape (nodes,), dtype=float32
        The same.
    """

    def __init__(
        self,
        keys: Sequence[str],
        *,
        maxima: Floats,
        column_seconds: float,
        stretches: Stretches,
        highest: Floats,
        certainties: Mapping[str, Certainty],
        stem_probabilities: Floats,
    ) -> None:
        self.explained = stretches.explained
        self._certainties = certainties
        self._stem_probabilities = stem_probabilities
        self._keys = keys
        self._maxima = maxima
        self._column_seconds = column_seconds
        self._stretches = stretches
        self.highest = highest

    def __getitem__(self, key: str) -> Activity:
        """Give what is known of a node."""
        if key not in self._keys:
            raise KeyError(key)
        place = self._keys.index(key)
        separated = self._stretches.separated
        return Activity(
            probabilities=np.ascontiguousarray(self._maxima[:, place]),
            column_seconds=self._column_seconds,
            spans=self._stretches.heard.get(key, ()),
            separated=None if separated is None else separated.get(key, ()),
            highest_probability=known(self.highest[place]),
            certainty=self._certainties.get(key),
            stem_probability=known(self._stem_probabilities[place]),
        )

    def __iter__(self) -> Iterator[str]:
        """Name the nodes, in their order."""
        return iter(self._keys)

    def __len__(self) -> int:
        """Count the nodes."""
        return len(self._keys)


class ActivityLog:
    """Take segments one after the other and keep at most `max_columns` maxima and all spans.

    Parameters
    ----------
    keys : sequence of str
        Nodes, in the order of the columns of what is added.
    max_columns : int, default=1000
        Even. Whenever it is reached, neighbours are joined in pairs.
    with_separated : bool, default=False
        Whether to keep as well where something is separated; see `Activity.separated`.
    """

    def __init__(self, keys: Sequence[str], *, max_columns: int = 1000, with_separated: bool = False) -> None:
        self._keys = tuple(keys)
        self._max_columns = max_columns
        self._maxima = self._untagged(min(_FIRST_COLUMNS, max_columns))
        self._segments_per_column = 1
        self._count = 0
        self._loudness = Loudness.DIGITAL_SILENCE
        self._first_starts: list[float] = []
        self._last_end = 0.0
        self._spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._explained: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._separated: dict[str, list[tuple[float, float]]] | None = None
        if with_separated:
            self._separated = defaultdict(list)
        self._certainties: dict[tuple[str, bool], Certainty] = {}
        self._stem_probabilities = np.full(len(self._keys), np.nan, np.float32)
        self._in_spans = np.full(len(self._keys), np.nan, np.float32)

    def add(
        self,
        probs: npt.ArrayLike,
        *,
        sounding: Sounding,
        active: npt.ArrayLike,
        spans_seconds: npt.ArrayLike,
        stem_probs: npt.ArrayLike,
        loudness: Loudness,
    ) -> None:
        """Take the next segments.

        Parameters
        ----------
        probs : array_like of shape (segments, nodes)
            Probabilities in [0, 1]; NaN for a node that is not tagged.
        sounding : Sounding
            What sounds in them.
        active : array_like of shape (segments, nodes), dtype=bool
            What is separated in them.
        spans_seconds : array_like of shape (segments, 2)
            Start and end of each segment on a regular grid.
        stem_probs : array_like of shape (segments, nodes)
            Probabilities of nodes in their own stems; NaN where that was not tagged.
        loudness : Loudness
            Of all of them together.
        """
        self._loudness = max(self._loudness, loudness)
        segments = zip(np.asarray(probs, np.float32), np.asarray(spans_seconds, float), strict=True)
        for row, (start, end) in segments:
            self._add_maxima(row)
            if len(self._first_starts) < 2:
                self._first_starts.append(float(start))
            self._last_end = float(end)
        self._add_sounding(sounding)
        if self._separated is not None:
            edges = np.asarray(spans_seconds, float).tolist()
            for segment, place in np.argwhere(np.asarray(active, bool)).tolist():
                start, end = edges[segment]
                _extend(self._separated[self._keys[place]], start=start, end=end)
        own = ~sounding.explained
        places = sounding.segments[own], sounding.targets[own]
        np.fmax.at(self._in_spans, places[1], np.asarray(probs, np.float32)[places])
        in_stems = np.fmax.reduce(np.asarray(stem_probs, np.float32), axis=0, initial=np.nan)
        self._stem_probabilities = np.fmax(self._stem_probabilities, in_stems)

    def _add_sounding(self, sounding: Sounding) -> None:
        for place, (start, end), detected, sure, explained in zip(
            sounding.targets.tolist(),
            sounding.times.tolist(),
            sounding.detected.tolist(),
            sounding.sure.tolist(),
            sounding.explained.tolist(),
            strict=True,
        ):
            key = self._keys[place]
            _extend((self._explained if explained else self._spans)[key], start=start, end=end)
            if sure:
                self._certainties[key, explained] = "sure"
            elif detected:
                self._certainties.setdefault((key, explained), "doubtful")

    def spans_so_far(self, key: str) -> Sequence[tuple[float, float]]:
        """Give start and end in seconds of where a node sounds in the segments taken so far."""
        return self._spans.get(key, ())

    def result(self, *, total_seconds: float) -> Activities:
        """Give what is known of each node, spans cut at the end of the recording."""
        if len(self._first_starts) == 2:
            step_seconds = self._first_starts[1] - self._first_starts[0]
        else:
            step_seconds = self._last_end or total_seconds
        columns = -(-self._count // self._segments_per_column)
        maxima = self._maxima[:columns]
        if self._loudness is Loudness.UNTAGGED:
            # The zeros of segments without a tag would say that nothing sounds. Beside segments that were tagged they
            # stay: the pauses of a recording are no reason to doubt what was heard of it.
            maxima = np.full_like(maxima, np.nan)
        anywhere: Floats = np.fmax.reduce(maxima, axis=0, initial=np.nan)
        return Activities(
            self._keys,
            maxima=maxima,
            column_seconds=step_seconds * self._segments_per_column,
            stretches=Stretches(
                heard=_all_cut(self._spans, total_seconds),
                separated=None if self._separated is None else _all_cut(self._separated, total_seconds),
                explained={
                    key: _cut(spans, total_seconds)
                    for key, spans in self._explained.items()
                    if key not in self._spans
                },
            ),
            highest=np.where(np.isnan(self._in_spans), anywhere, self._in_spans),
            certainties={
                key: certainty
                for (key, explained), certainty in self._certainties.items()
                if explained == (key not in self._spans)
            },
            stem_probabilities=self._stem_probabilities,
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


def _all_cut(
    spans: Mapping[str, Sequence[tuple[float, float]]], total_seconds: float
) -> dict[str, tuple[ActiveSpan, ...]]:
    return {key: _cut(of_key, total_seconds) for key, of_key in spans.items()}


def _cut(spans: Sequence[tuple[float, float]], total_seconds: float) -> tuple[ActiveSpan, ...]:
    return tuple(
        ActiveSpan(start_seconds=start, end_seconds=min(end, total_seconds))
        for start, end in spans
        if start < total_seconds
    )


def _extend(spans: list[tuple[float, float]], *, start: float, end: float) -> None:
    if spans and start <= spans[-1][1]:
        spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
    else:
        spans.append((start, end))
