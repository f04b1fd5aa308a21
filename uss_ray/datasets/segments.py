"""AudioSet's segment CSV: which clip, which excerpt, which weak labels.

Owns the parsing and its errors; where the audio of a clip lies is for `clips.py`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from uss_ray.errors import DataError


@dataclass(frozen=True)
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


def read_segments(path: Path, *, class_index: Mapping[str, int]) -> list[ClipRecord]:
    """Read a segment CSV.

    Parameters
    ----------
    path : Path
        Lines `YTID, start_seconds, end_seconds, "mid,mid,…"`; lines that begin with `#` are comments.
    class_index : mapping of str to int
        Class id (MID) to class index.

    Returns
    -------
    list of ClipRecord
        In file order.

    Raises
    ------
    DataError
        If the file is missing, a line has not four fields, a time is no number, or a label is not in the class list.
    """
    records: list[ClipRecord] = []
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(str(path), expected="a segment CSV that can be read", found=str(error)) from error
    numbered = [
        (n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")
    ]
    for (number, line), row in zip(
        numbered, csv.reader([li for _, li in numbered], skipinitialspace=True), strict=True
    ):
        where = f"{path.name} line {number}"
        if len(row) != 4:
            raise DataError(where, expected="four fields", found=f"{len(row)}: {line[:80]}")
        try:
            start, end = float(row[1]), float(row[2])
        except ValueError as error:
            raise DataError(
                where, expected="start and end in seconds", found=f"{row[1]}, {row[2]}"
            ) from error
        unknown = [label for label in row[3].split(",") if label not in class_index]
        if unknown:
            raise DataError(where, expected="labels of the class list", found=", ".join(unknown))
        indexes = tuple(sorted({class_index[label] for label in row[3].split(",")}))
        records.append(ClipRecord(row[0], start, end, indexes))
    return records
