"""Millions of weakly labelled clips in a few arrays, looked up by clip id.

Owns the memory layout: about 40 bytes a clip for AudioSet (80 MB for its two million), nothing but NumPy arrays, so
that a Ray object store holds one copy for all workers of a machine. Parsing is `segments`'.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from uss_ray.datasets.segments import ClipRecord, stream_segments
from uss_ray.errors import DataError
from uss_ray.store.store import Location, Store

_CHUNK_RECORDS = 1 << 16
_LONGEST_ID_BYTES = 255
# `<id>_<start>` and `<id>_<start>_<end>`, in seconds or milliseconds: how downloaders name excerpts.
_TIME = re.compile(r"\d+(?:\.\d+)?")
_SAME_TIME_SECONDS = 0.0005


@dataclass(frozen=True)
class ClipMatch:
    """What a name in a container stands for.

    Parameters
    ----------
    rows : tuple of int
        Rows of the table: several when excerpts of one recording are labelled apart.
    is_excerpt : bool
        Whether the name itself tells the excerpt, so that the audio can be nothing more.
    """

    rows: tuple[int, ...]
    is_excerpt: bool


@dataclass(frozen=True, eq=False)
class SegmentTable:
    """Weakly labelled clips, sorted by id and start; make it with `SegmentTable.load` or `from_records`.

    Parameters
    ----------
    clip_ids : ndarray of shape (clips,), dtype=bytes
        UTF-8, padded with zero bytes.
    start_seconds, end_seconds : ndarray of shape (clips,), dtype=float64
    label_offsets : ndarray of shape (clips + 1,), dtype=int32
        Where the labels of a clip begin in `label_indexes`.
    label_indexes : ndarray of shape (labels,), dtype=int16
        Class indexes, sorted within a clip.
    repeated : int
        Lines that named a clip and span again; their labels are united.
    """

    clip_ids: NDArray[np.bytes_]
    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]
    label_offsets: NDArray[np.int32]
    label_indexes: NDArray[np.int16]
    repeated: int

    @classmethod
    def load(cls, locations: Iterable[Location | Store], *, class_index: Mapping[str, int]) -> SegmentTable:
        """Read any number of segment CSVs.

        Parameters
        ----------
        locations : iterable of Store, str or path
        class_index : mapping of str to int
            Class id (MID) to class index.

        Raises
        ------
        DataError
            See `stream_segments`; also if there is not one clip in them.
        """
        places = list(locations)
        table = cls.from_records(
            chain.from_iterable(stream_segments(place, class_index=class_index) for place in places)
        )
        if not len(table):
            raise DataError(", ".join(map(str, places)), expected="at least one clip", found="none")
        return table

    @classmethod
    def from_records(cls, records: Iterable[ClipRecord]) -> SegmentTable:
        """Build the table from records in any order; they are consumed in chunks."""
        chunks = list(_chunks(iter(records)))
        if not chunks:
            return cls(
                np.empty(0, "S1"), np.empty(0), np.empty(0), np.zeros(1, np.int32), np.empty(0, np.int16), 0
            )
        clip_ids, starts, ends, counts, labels = (
            np.concatenate(parts) for parts in zip(*chunks, strict=True)
        )
        order = np.lexsort((ends, starts, clip_ids))
        clip_ids, starts, ends = clip_ids[order], starts[order], ends[order]
        is_new = np.ones(len(order), bool)
        is_new[1:] = (clip_ids[1:] != clip_ids[:-1]) | (starts[1:] != starts[:-1]) | (ends[1:] != ends[:-1])
        row_of = np.empty(len(order), np.int64)
        row_of[order] = np.cumsum(is_new) - 1
        span = int(labels.max()) + 1
        pairs = np.unique(np.repeat(row_of, counts) * span + labels)
        clips = int(is_new.sum())
        offsets = np.zeros(clips + 1, np.int32)
        np.cumsum(np.bincount(pairs // span, minlength=clips), out=offsets[1:])
        return cls(
            clip_ids[is_new],
            starts[is_new],
            ends[is_new],
            offsets,
            (pairs % span).astype(np.int16),
            len(order) - clips,
        )

    def __len__(self) -> int:
        return len(self.clip_ids)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        arrays = (self.clip_ids, self.start_seconds, self.end_seconds, self.label_offsets, self.label_indexes)
        return sum(array.nbytes for array in arrays)

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Length of each clip, (clips,)."""
        return self.end_seconds - self.start_seconds

    def clip_id(self, row: int) -> str:
        """Return the id of a row."""
        return bytes(self.clip_ids[row]).decode()

    def class_indexes(self, row: int) -> tuple[int, ...]:
        """Return the weak labels of a row, sorted."""
        first, stop = self.label_offsets[row], self.label_offsets[row + 1]
        return tuple(self.label_indexes[first:stop].tolist())

    def record(self, row: int) -> ClipRecord:
        """Return a row as a record."""
        return ClipRecord(
            self.clip_id(row),
            float(self.start_seconds[row]),
            float(self.end_seconds[row]),
            self.class_indexes(row),
        )

    def records(self) -> Iterator[ClipRecord]:
        """Yield all records in the table's order."""
        return (self.record(row) for row in range(len(self)))

    def rows_of(self, clip_id: str) -> range:
        """Return the rows of a clip id, which may be none."""
        key = np.array(clip_id.encode(), dtype="S")
        if key.itemsize > self.clip_ids.itemsize:
            return range(0)
        first = int(np.searchsorted(self.clip_ids, key))
        stop = first
        while stop < len(self.clip_ids) and self.clip_ids[stop] == key:
            stop += 1
        return range(first, stop)

    def match(self, name: str) -> ClipMatch | None:
        """Find the clips that a name in a container stands for.

        Parameters
        ----------
        name : str
            Without audio suffix: a clip id, with or without AudioSet's leading `Y`, bare or with the excerpt behind
            it (``<id>_<start>`` or ``<id>_<start>_<end>``, seconds or milliseconds).

        Returns
        -------
        ClipMatch or None
            None if no clip of the table is meant.
        """
        for candidate in (name, name[1:]) if name.startswith("Y") else (name,):
            rows = self.rows_of(candidate)
            if rows:
                return ClipMatch(tuple(rows), is_excerpt=False)
            for clip_id, start in _named_spans(candidate):
                row = self._row_at(clip_id, start)
                if row is not None:
                    return ClipMatch((row,), is_excerpt=True)
        return None

    def class_totals(
        self, weights: NDArray[np.floating | np.integer], *, classes: int
    ) -> NDArray[np.float64]:
        """Add up a weight of each clip over the classes it is labelled with.

        Parameters
        ----------
        weights : ndarray of shape (clips,)
        classes : int
            Size of the class list.

        Returns
        -------
        ndarray of shape (classes,), dtype=float64
        """
        of_labels = np.repeat(weights, np.diff(self.label_offsets))
        return np.bincount(self.label_indexes, weights=of_labels, minlength=classes).astype(np.float64)

    def _row_at(self, clip_id: str, start: float) -> int | None:
        for row in self.rows_of(clip_id):
            if min(abs(self.start_seconds[row] - start), abs(self.start_seconds[row] - start / 1000)) < (
                _SAME_TIME_SECONDS
            ):
                return row
        return None


def _named_spans(name: str) -> Iterator[tuple[str, float]]:
    """Read a name as an id with a start behind it, or a start and an end; an id may itself end in `_` and digits."""
    above, _, last = name.rpartition("_")
    if not above or _TIME.fullmatch(last) is None:
        return
    clip_id, _, start = above.rpartition("_")
    if clip_id and _TIME.fullmatch(start) is not None:
        yield clip_id, float(start)
    yield above, float(last)


_Chunk = tuple[
    NDArray[np.bytes_], NDArray[np.float64], NDArray[np.float64], NDArray[np.int32], NDArray[np.int16]
]


def _chunks(records: Iterator[ClipRecord]) -> Iterator[_Chunk]:
    while chunk := list(islice(records, _CHUNK_RECORDS)):
        ids = np.array([record.clip_id.encode() for record in chunk], dtype="S")
        if ids.itemsize > _LONGEST_ID_BYTES:
            longest = max(chunk, key=lambda record: len(record.clip_id.encode())).clip_id
            raise DataError(
                longest[:80] + "…", expected=f"clip ids of at most {_LONGEST_ID_BYTES} bytes", found="more"
            )
        yield (
            ids,
            np.array([record.start_seconds for record in chunk]),
            np.array([record.end_seconds for record in chunk]),
            np.array([len(record.class_indexes) for record in chunk], np.int32),
            np.array([index for record in chunk for index in record.class_indexes], np.int16),
        )
