"""AudioSet's segment CSV: which clip, which excerpt, which weak labels.

Owns the parsing and its errors, line by line, so that a table of millions is never held as text. Millions of clips at
once are for `segment_table`, where their audio lies is for `clip_sources`.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, cast

from uss_ray.errors import DataError
from uss_ray.store.store import Location, Store

# Most clips share their label list with others: remembering the lists halves the time.
_REMEMBERED_LISTS = 1 << 16
_FIELDS = 4
_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class ClipRecord:
    """One weakly labelled clip.

    Parameters
    ----------
    clip_id : str
    start_seconds, end_seconds : float
        Excerpt of the source recording.
    class_indexes : tuple of int
        Weak labels, sorted, without repeats.
    """

    clip_id: str
    start_seconds: float
    end_seconds: float
    class_indexes: tuple[int, ...]


def read_segments(location: Location | Store, *, class_index: Mapping[str, int]) -> list[ClipRecord]:
    """Read a segment CSV whole; parameters and errors are those of `stream_segments`.

    Returns
    -------
    list of ClipRecord
        In file order.
    """
    return list(stream_segments(location, class_index=class_index))


def stream_segments(location: Location | Store, *, class_index: Mapping[str, int]) -> Iterator[ClipRecord]:
    """Read a segment CSV line by line.

    Parameters
    ----------
    location : Store, str or path
        Plain or ``.gz``. Lines `YTID, start_seconds, end_seconds, "mid,mid,…"`; empty lines and lines
        that begin with `#` are skipped.
    class_index : mapping of str to int
        Class id (MID) to class index.

    Yields
    ------
    ClipRecord
        In file order.

    Raises
    ------
    DataError
        If the file is missing or no UTF-8 text, a line has not four fields, no id, no time span, no label, or a label
        that the class list lacks. File and line are named.
    """
    indexes_of = _label_parser(class_index)
    with ExitStack() as resources:
        binary = resources.enter_context(Store.of(location, DataError).open())
        if str(location).endswith(".gz"):
            binary = cast(BinaryIO, resources.enter_context(gzip.GzipFile(fileobj=binary)))
        text = resources.enter_context(io.TextIOWrapper(binary, encoding="utf-8-sig", newline=""))
        lines = _DataLines(text)
        try:
            for row in csv.reader(lines, skipinitialspace=True):
                yield _record(row, where=lambda: f"{location} line {lines.number}", indexes_of=indexes_of)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(
                f"{location} after line {lines.number}",
                expected="a segment CSV that can be read",
                found=" ".join(str(error).split()),
            ) from error


class _DataLines:
    """The lines that hold clips, and the number of the last one in the file."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.number = 0
        self._lines = lines

    def __iter__(self) -> Iterator[str]:
        for self.number, line in enumerate(self._lines, 1):  # noqa: B020 - the number is kept for errors
            if line.strip() and not line.startswith("#"):
                yield line


def _record(
    row: list[str], *, where: Callable[[], str], indexes_of: Callable[[str], tuple[int, ...] | str]
) -> ClipRecord:
    if len(row) != _FIELDS:
        raise DataError(
            where(),
            expected="four fields, the labels in quotes",
            found=f"{len(row)}: {_brief(', '.join(row))}",
        )
    clip_id, start_text, end_text, labels = row
    if not clip_id.strip():
        raise DataError(where(), expected="a clip id", found="none")
    try:
        start, end = float(start_text), float(end_text)
    except ValueError:
        start, end = math.nan, math.nan
    if not 0 <= start < end < math.inf:
        raise DataError(
            where(),
            expected="start and end in seconds, 0 <= start < end",
            found=_brief(f"{start_text}, {end_text}"),
        )
    indexes = indexes_of(labels)
    if isinstance(indexes, str):
        raise DataError(where(), expected="labels of the class list", found=_brief(indexes))
    return ClipRecord(clip_id.strip(), start, end, indexes)


def _brief(found: str) -> str:
    """Give the beginning, in one line: where a quote is never closed, a field goes on to the end of the file."""
    return " ".join(found[:_LONGEST_SHOWN].split())


def _label_parser(class_index: Mapping[str, int]) -> Callable[[str], tuple[int, ...] | str]:
    """Make the function that turns a label list into class indexes, or into the words for what is wrong with it."""

    @lru_cache(maxsize=_REMEMBERED_LISTS)
    def parse(labels: str) -> tuple[int, ...] | str:
        ids = [label for label in map(str.strip, labels.split(",")) if label]
        unknown = [class_id for class_id in ids if class_id not in class_index]
        if unknown:
            return ", ".join(unknown)
        return tuple(sorted({class_index[class_id] for class_id in ids})) or "none"

    return parse
