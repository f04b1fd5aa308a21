"""Manifests: tables of the recordings to take, as Parquet (one file or several), CSV or JSON Lines.

Owns their columns, what a broken row is, and how a row gets its id. Columns, of which only the first is needed:
`uri` (or `recording_uri`), `id` (or `recording_id`), `bytes`, `duration_seconds`; others are left alone. A relative
`uri` is meant from where the manifest lies. Every row counts, whatever its suffix.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import posixpath
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from uss_ray.errors import DataError
from uss_ray.parsing import read_json
from uss_ray.records import recording_id
from uss_ray.sources.recordings import ROWS_PER_TABLE, ListedRecording, recording_table, recording_tables
from uss_ray.store.store import Store
from uss_ray.wording import HIDDEN, without_secrets

_TEXT_SUFFIXES = (".csv", ".jsonl", ".ndjson")
MANIFEST_SUFFIXES = (".parquet", *_TEXT_SUFFIXES)
_OPENED_AT_A_TIME = 16
_PARQUET_BUFFER_BYTES = 4 << 20  # of each column; a whole row group would be all rows of many a manifest

ManifestReader = partial[Iterator[pa.Table]]
"""Gives the tables of one file; picklable."""


def is_manifest(name: str) -> bool:
    """Tell by its suffix whether a file is a manifest; texts may be compressed by gzip.

    Examples
    --------
    >>> [is_manifest(name) for name in ("s3://b/all.parquet", "list.CSV.gz", "a.wav")]
    [True, True, False]
    """
    return _format(name) in MANIFEST_SUFFIXES


def open_manifest(
    files: Sequence[Store], *, limit: int | None = None
) -> tuple[tuple[ManifestReader, ...], int | None]:
    """Check manifests and prepare their reading.

    Parameters
    ----------
    files : sequence of Store
    limit : int or None, default=None
        Rows that will be taken of them in all: as many lines of a text are checked.

    Returns
    -------
    readers : tuple of ManifestReader
        One for each file that holds rows.
    count : int or None
        Rows in all; None where a limit kept the lines from being counted to the end.

    Raises
    ------
    DataError
        If a file cannot be read, has no column `uri` or one of another type, or a row is broken: found now in
        every line of a text, and in all that the footer of a Parquet file tells; else as the row is reached.
    """
    places = [file.raising(DataError) for file in files]
    with ThreadPoolExecutor(min(len(files), _OPENED_AT_A_TIME)) as pool:
        counts = list(pool.map(partial(_checked_rows, limit=limit), places))
    readers = tuple(
        partial(_read_manifest, file, limit=limit)
        for file, count in zip(places, counts, strict=True)
        if count != 0
    )
    known = [count for count in counts if count is not None]
    return readers, sum(known) if len(known) == len(counts) else None


def _checked_rows(file: Store, *, limit: int | None) -> int | None:
    """Check a file and count its rows; None if there are more than were looked at."""
    if _format(file.name) == ".parquet":
        with _parquet(file) as parquet:
            return _check_footer(parquet, file=file)
    with closing(_text_rows(file)) as rows:
        count = sum(1 for _ in islice(rows, limit))
    return None if count == limit else count


def _read_manifest(file: Store, *, limit: int | None) -> Iterator[pa.Table]:
    if _format(file.name) == ".parquet":
        return _parquet_tables(file)
    return recording_tables(islice(_text_rows(file), limit))


# -- columns, names and values --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Columns:
    """What the columns are called in one manifest; None for one that is not there."""

    location: str
    name: str | None
    byte_count: str | None
    duration: str | None

    @classmethod
    def among(cls, found: Sequence[str], *, file: Store) -> _Columns:
        location = _one_of(("uri", "recording_uri"), found, file=file)
        if location is None:
            columns = ", ".join(map(repr, found)) or "none"
            raise DataError(
                str(file), expected="a column 'uri' (or 'recording_uri')", found=f"columns {columns}"
            )
        return cls(
            location=location,
            name=_one_of(("id", "recording_id"), found, file=file),
            byte_count=_one_of(("bytes",), found, file=file),
            duration=_one_of(("duration_seconds",), found, file=file),
        )

    @property
    def present(self) -> list[str]:
        return [
            name for name in (self.location, self.name, self.byte_count, self.duration) if name is not None
        ]


def _one_of(wanted: Sequence[str], found: Sequence[str], *, file: Store) -> str | None:
    present = [name for name in found if name in wanted]
    if len(present) > 1:
        raise DataError(str(file), expected=f"one column {' or '.join(wanted)}", found=" and ".join(present))
    return present[0] if present else None


class _BrokenCellError(ValueError):
    """A cell that cannot be used; where it stands is added by whoever reads the file."""

    def __init__(self, column: str, *, expected: str, found: object) -> None:
        super().__init__(column)
        self.column, self.expected, self.found = column, expected, found

    def raise_at(self, place: str) -> NoReturn:
        raise DataError(
            f"{place}, column {self.column!r}", expected=self.expected, found=_shown(self.found)
        ) from self


def _named(location: object, name: object, *, columns: _Columns, base: Store) -> tuple[str, str]:
    """Give a row its full URI and its id.

    Without a name of its own, a row is named by its URI without the scheme: a bucket is a part of it, so that two
    of them never meet in one name. A relative URI gives the name a listing of the folder would.
    """
    if not isinstance(location, str) or not location.strip():
        raise _BrokenCellError(columns.location, expected="the URI of a recording", found=location)
    if name is not None and not isinstance(name, str):
        raise _BrokenCellError(columns.name or "id", expected="a text", found=name)
    full, derived = _resolved(location, base=base)
    try:
        return full, recording_id(name or derived)
    except ValueError:
        column = columns.name if name and columns.name else columns.location
        raise _BrokenCellError(column, expected="the name of a recording", found=name or location) from None


def _resolved(location: str, *, base: Store) -> tuple[str, str]:
    if Store(location).is_remote:
        scheme, _, path = without_secrets(location).partition("://")
        path = path.removeprefix(f"{HIDDEN}@")
        return location, re.split("[?#]", path, maxsplit=1)[0] if scheme in ("http", "https") else path
    if location.startswith(("/", "file://")):
        return location, str(Store(location))
    if ".." not in location.split("/"):
        return str(base / location), location
    if not base.is_remote:
        path = posixpath.normpath(posixpath.join(str(base), location))
        return path, path
    scheme, _, folder = str(base).partition("://")
    path = posixpath.normpath(posixpath.join(folder, location))
    return f"{scheme}://{path}", path


def _format(name: str) -> str:
    name = name.casefold()
    if name.endswith(".gz") and name.removesuffix(".gz").endswith(_TEXT_SUFFIXES):
        name = name.removesuffix(".gz")
    return posixpath.splitext(name)[1]


def _shown(found: object) -> str:
    return "nothing" if found is None or found == "" else repr(found)[:200]


# -- CSV and JSON Lines ---------------------------------------------------------------------------------------


def _text_rows(file: Store) -> Generator[ListedRecording, None, None]:
    base = file.parent
    columns: _Columns | None = None
    for line, row in _lines(file):
        columns = columns or _Columns.among(list(row), file=file)
        try:
            location, name = _named(
                row.get(columns.location), _cell(row, columns.name), columns=columns, base=base
            )
            yield ListedRecording(location, name, _byte_count(row), _duration(row))
        except _BrokenCellError as error:
            error.raise_at(f"{file}, line {line}")


def _cell(row: Mapping[str, Any], column: str | None) -> Any:
    return row.get(column) if column else None


def _byte_count(row: Mapping[str, Any]) -> int | None:
    value = row.get("bytes")
    if value is None or value == "":
        return None
    count = _whole(value)
    if count is not None:
        if 0 <= count < 1 << 63:
            return count
    elif isinstance(value, float) and math.isnan(
        value
    ):  # how tables without nulls write that they do not know
        return None
    raise _BrokenCellError("bytes", expected="a whole number of at least 0", found=value)


def _whole(value: object) -> int | None:
    """Take a whole number in any of its spellings; a table with gaps writes them as floats."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(\.0*)?", value.strip()):
        return int(value.strip().partition(".")[0])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _duration(row: Mapping[str, Any]) -> float | None:
    value = row.get("duration_seconds")
    if value is None or value == "":
        return None
    try:
        seconds = math.inf if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.inf
    if math.isnan(seconds):  # how tables without nulls write that they do not know
        return None
    if not 0.0 <= seconds < math.inf:
        raise _BrokenCellError("duration_seconds", expected="seconds, at least 0", found=value)
    return seconds


def _lines(file: Store) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Give each row with the number of its line, from 1."""
    with _text(file) as lines:
        yield from _csv_lines(file, lines) if _format(file.name) == ".csv" else _json_lines(file, lines)


@contextmanager
def _text(file: Store) -> Iterator[io.TextIOWrapper]:
    with file.open() as stored:
        plain = gzip.GzipFile(fileobj=stored) if file.name.casefold().endswith(".gz") else stored
        try:
            with io.TextIOWrapper(plain, encoding="utf-8-sig", newline="") as text:
                yield text
        except UnicodeDecodeError as error:
            raise DataError(str(file), expected="a text in UTF-8", found=str(error)) from error
        except (EOFError, gzip.BadGzipFile) as error:
            raise DataError(str(file), expected="a complete gzip file", found=str(error)) from error


def _csv_lines(file: Store, lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(lines, strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            if header is None:
                header = [name.strip() for name in cells]
                _Columns.among(header, file=file)
            elif len(cells) == len(header):
                yield reader.line_num, dict(zip(header, cells, strict=True))
            elif cells:
                raise DataError(
                    f"{file}, line {reader.line_num}",
                    expected=f"{len(header)} cells, as in the header",
                    found=str(len(cells)),
                )
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}", expected="CSV", found=str(error)) from error
    if header is None:
        raise DataError(str(file), expected="a header with a column 'uri'", found="an empty file")


def _json_lines(file: Store, lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = read_json(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{file}, line {number}, character {error.colno}", expected="a JSON object", found=error.msg
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{file}, line {number}", expected="a JSON object", found=_shown(row))
        yield number, row


# -- Parquet --------------------------------------------------------------------------------------------------


@contextmanager
def _parquet(file: Store) -> Iterator[pq.ParquetFile]:
    with file.open() as stored:
        try:
            yield pq.ParquetFile(stored, buffer_size=_PARQUET_BUFFER_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise DataError(str(file), expected="a Parquet file", found=str(error)) from error


def _check_footer(parquet: pq.ParquetFile, *, file: Store) -> int:
    schema = parquet.schema_arrow
    columns = _Columns.among(schema.names, file=file)
    for column, holds, expected in (
        (columns.location, _is_text, "text"),
        (columns.name, _is_text, "text"),
        (columns.byte_count, _is_number, "whole numbers"),
        (columns.duration, _is_number, "numbers"),
    ):
        if column is not None and not holds(schema.field(column).type):
            raise DataError(
                f"{file}, column {column!r}", expected=expected, found=str(schema.field(column).type)
            )
    _check_no_nulls(parquet.metadata, column=columns.location, file=file)
    return int(parquet.metadata.num_rows)


def _check_no_nulls(footer: pq.FileMetaData, *, column: str, file: Store) -> None:
    position = next(at for at in range(footer.num_columns) if footer.schema.column(at).path == column)
    for group in range(footer.num_row_groups):
        statistics = footer.row_group(group).column(position).statistics
        if statistics is not None and statistics.has_null_count and statistics.null_count:
            raise DataError(
                f"{file}, row group {group}, column {column!r}",
                expected="the URI of a recording in every row",
                found=f"none in {statistics.null_count} rows",
            )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _parquet_tables(file: Store) -> Iterator[pa.Table]:
    base = file.parent
    with _parquet(file) as parquet:
        _check_footer(parquet, file=file)
        columns = _Columns.among(parquet.schema_arrow.names, file=file)
        first_row = 1
        for batch in parquet.iter_batches(
            batch_size=ROWS_PER_TABLE, columns=columns.present, use_threads=False
        ):
            yield _parquet_table(batch, columns=columns, base=base, file=file, first_row=first_row)
            first_row += batch.num_rows


def _parquet_table(
    batch: pa.RecordBatch, *, columns: _Columns, base: Store, file: Store, first_row: int
) -> pa.Table:
    def values(column: str | None) -> list[Any]:
        return [None] * batch.num_rows if column is None else batch.column(column).to_pylist()

    uris, ids, byte_counts, durations = [], [], [], []
    rows = zip(
        values(columns.location),
        values(columns.name),
        values(columns.byte_count),
        values(columns.duration),
        strict=True,
    )
    for offset, (location, name, byte_count, duration) in enumerate(rows):
        try:
            full, identity = _named(location, name, columns=columns, base=base)
            byte_counts.append(_byte_count({"bytes": byte_count}))
            durations.append(_duration({"duration_seconds": duration}))
        except _BrokenCellError as error:
            error.raise_at(f"{file}, row {first_row + offset}")
        uris.append(full)
        ids.append(identity)
    return recording_table(uris=uris, ids=ids, byte_counts=byte_counts, durations=durations)
