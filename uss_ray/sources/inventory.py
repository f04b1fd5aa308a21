"""S3 Inventory reports: the daily or weekly lists that S3 writes of a bucket, as CSV, ORC or Parquet.

Owns the format of the report (AWS, *Locating your inventory list*, S3 User Guide): `manifest.json` names the data
files, which lie in the destination bucket, and their columns. A report that was copied elsewhere is read where it
is. Old versions, delete markers and everything without an audio suffix are passed over.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal, cast
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc
from pydantic import BaseModel, ConfigDict, Field

from uss_ray.config import Settings, parse_json
from uss_ray.errors import DataError
from uss_ray.records import recording_id
from uss_ray.sources.names import has_recording_suffix
from uss_ray.sources.recordings import (
    ROWS_PER_TABLE,
    ListedRecording,
    PassedOverNames,
    TellPassedOver,
    recording_tables,
)
from uss_ray.store.store import Store

InventoryFormat = Literal["CSV", "ORC", "Parquet"]

# The names in the schema of a CSV report; the other formats write `is_latest` for `IsLatest`.
_BUCKET, _KEY, _LATEST, _DELETED, _SIZE = "bucket", "key", "islatest", "isdeletemarker", "size"
_USED_COLUMNS = (_BUCKET, _KEY, _LATEST, _DELETED, _SIZE)
_CHECKED_AT_A_TIME = 16
_PARQUET_BUFFER_BYTES = 4 << 20

InventoryReader = partial[Iterator[pa.Table]]
"""Gives the tables of one data file; picklable."""


@dataclass(frozen=True, kw_only=True)
class _DataFile:
    """One data file of a report."""

    place: Store
    file_format: InventoryFormat
    csv_columns: tuple[str, ...]
    size_bytes: int | None


def looks_like_inventory(name: str) -> bool:
    """Tell by its name whether something is the manifest of an S3 Inventory report.

    Examples
    --------
    >>> looks_like_inventory("s3://lists/sounds/weekly/2026-11-06T21-32Z/manifest.json")
    True
    """
    return PurePosixPath(name).suffix.casefold() == ".json"


def open_inventory(manifest: Store) -> tuple[InventoryReader, ...]:
    """Read the manifest of a report and prepare the reading of its data files.

    Parameters
    ----------
    manifest : Store
        Its `manifest.json`, in the destination bucket or wherever the report was copied to. A copy finds its data
        files in `../data` (as S3 lays them out), `data` or its own folder, and else in the destination bucket.

    Returns
    -------
    tuple of InventoryReader
        One for each data file.

    Raises
    ------
    DataError
        If the manifest is no such manifest, lacks a column that is needed, or a data file is missing or has
        another size than it says.
    """
    files = _data_files(manifest.raising(DataError))
    with ThreadPoolExecutor(min(len(files), _CHECKED_AT_A_TIME)) as pool:
        for _ in pool.map(_check_size, files):
            pass
    return tuple(partial(read_data_file, file) for file in files)


# -- the manifest ---------------------------------------------------------------------------------------------


class _Entry(BaseModel):
    """A data file as the manifest lists it."""

    key: str = Field(min_length=1)
    size: int | None = None


class _Report(Settings):
    """The manifest, as far as it is used."""

    model_config = ConfigDict(extra="ignore")

    fileFormat: InventoryFormat  # noqa: N815
    fileSchema: str = ""  # noqa: N815
    destinationBucket: str = Field(min_length=1)  # noqa: N815
    files: tuple[_Entry, ...] = Field(min_length=1)


def _data_files(manifest: Store) -> list[_DataFile]:
    report = parse_json(manifest.read(), _Report, item=f"{manifest}, of an S3 Inventory")
    columns: tuple[str, ...] = ()
    if report.fileFormat == "CSV":
        columns = tuple(_plain(name) for name in report.fileSchema.split(","))
        _check_columns(columns, place=f"{manifest}, fileSchema")
    bucket = report.destinationBucket.removeprefix("arn:aws:s3:::")
    return [
        _DataFile(
            place=_data_place(manifest, key=entry.key, bucket=bucket),
            file_format=report.fileFormat,
            csv_columns=columns,
            size_bytes=entry.size,
        )
        for entry in report.files
    ]


def _data_place(manifest: Store, *, key: str, bucket: str) -> Store:
    original = Store(f"s3://{bucket}/{key}", manifest.options, manifest.error)
    if str(manifest).startswith(f"s3://{bucket}/"):
        return original
    name = PurePosixPath(key).name
    folder = (
        manifest.parent
        if manifest.is_remote
        else Store(manifest.local_path().absolute().parent, None, DataError)
    )
    copies = (folder.parent / "data" / name, folder / "data" / name, folder / name)
    return next((copy for copy in copies if copy.exists()), original)


def _check_size(file: _DataFile) -> None:
    found = file.place.size()
    if file.size_bytes is not None and found != file.size_bytes:
        raise DataError(
            str(file.place), expected=f"{file.size_bytes} bytes, as its manifest says", found=f"{found} bytes"
        )


def _check_columns(found: Sequence[str], *, place: str) -> None:
    missing = [name for name in (_BUCKET, _KEY) if name not in found]
    if missing:
        raise DataError(place, expected=f"the columns {', '.join(missing)}", found=", ".join(found))


def _plain(name: str) -> str:
    return name.strip().replace("_", "").casefold()


# -- the data files -------------------------------------------------------------------------------------------

Row = Mapping[str, Any]


def read_data_file(file: _DataFile, *, tell: TellPassedOver | None = None) -> Iterator[pa.Table]:
    """Read the recordings of one data file; `tell` hears of the keys that are none."""
    readers: dict[str, Callable[[_DataFile, BinaryIO], Iterator[tuple[int, Row]]]] = {
        "CSV": _csv_rows,
        "ORC": _orc_rows,
        "Parquet": _parquet_rows,
    }
    with _data_faults(file), file.place.open() as stored:
        yield from recording_tables(_recordings(file, readers[file.file_format](file, stored), tell=tell))


def _recordings(
    file: _DataFile, rows: Iterator[tuple[int, Row]], *, tell: TellPassedOver | None
) -> Iterator[ListedRecording]:
    passed_over = PassedOverNames(tell)
    for number, row in rows:
        key = row[_KEY]
        if not isinstance(key, str) or not key:
            raise DataError(f"{file.place}, row {number}, column 'Key'", expected="a key", found=repr(key))
        if any(part.startswith(".") for part in key.split("/")):
            continue
        # A report of a bucket without versions has neither column: all it lists is there.
        if not _flag(row, _LATEST, otherwise=True) or _flag(row, _DELETED, otherwise=False):
            continue
        if not has_recording_suffix(key):
            if not key.endswith("/"):
                passed_over.add(key)
            continue
        yield ListedRecording(
            recording_uri=f"s3://{row[_BUCKET]}/{key}",
            recording_id=recording_id(key),
            byte_count=_size(row, place=f"{file.place}, row {number}"),
        )
    passed_over.flush()


def _flag(row: Row, column: str, *, otherwise: bool) -> bool:
    value = row.get(column)
    if value is None or value == "":
        return otherwise
    return value if isinstance(value, bool) else str(value).casefold() == "true"


def _size(row: Row, *, place: str) -> int | None:
    value = row.get(_SIZE)
    if value is None or value == "":
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise DataError(f"{place}, column 'Size'", expected="a number of bytes", found=repr(value)) from None


def _csv_rows(file: _DataFile, stored: BinaryIO) -> Iterator[tuple[int, Row]]:
    """CSV has no header, and its keys are encoded as in a URL."""
    plain = gzip.GzipFile(fileobj=stored) if file.place.name.endswith(".gz") else stored
    with io.TextIOWrapper(cast(BinaryIO, plain), encoding="utf-8", newline="") as text:
        for number, cells in enumerate(csv.reader(text, strict=True), start=1):
            if len(cells) != len(file.csv_columns):
                raise DataError(
                    f"{file.place}, row {number}",
                    expected=f"{len(file.csv_columns)} cells, as the manifest says",
                    found=str(len(cells)),
                )
            row = dict(zip(file.csv_columns, cells, strict=True))
            yield number, row | {_KEY: unquote_plus(row[_KEY])}


def _parquet_rows(file: _DataFile, stored: BinaryIO) -> Iterator[tuple[int, Row]]:
    data = pq.ParquetFile(stored, buffer_size=_PARQUET_BUFFER_BYTES, pre_buffer=False)
    columns = _used(data.schema_arrow.names, file=file)
    batches = data.iter_batches(batch_size=ROWS_PER_TABLE, columns=list(columns), use_threads=False)
    return _batch_rows(batches, columns=columns)


def _orc_rows(file: _DataFile, stored: BinaryIO) -> Iterator[tuple[int, Row]]:
    data = orc.ORCFile(stored)
    columns = _used(data.schema.names, file=file)
    stripes = (data.read_stripe(stripe, columns=list(columns)) for stripe in range(data.nstripes))
    return _batch_rows(stripes, columns=columns)


def _used(names: Sequence[str], *, file: _DataFile) -> dict[str, str]:
    """Pair the columns we use, as the file writes them, with their plain names."""
    _check_columns([_plain(name) for name in names], place=str(file.place))
    return {name: _plain(name) for name in names if _plain(name) in _USED_COLUMNS}


def _batch_rows(
    batches: Iterator[pa.RecordBatch], *, columns: Mapping[str, str]
) -> Iterator[tuple[int, Row]]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_PER_TABLE):
            part = batch.slice(start, ROWS_PER_TABLE).select(list(columns))
            for row in part.rename_columns(list(columns.values())).to_pylist():
                number += 1
                yield number, row


@contextmanager
def _data_faults(file: _DataFile) -> Iterator[None]:
    try:
        yield
    except (
        pa.ArrowException,
        csv.Error,
        EOFError,
        UnicodeDecodeError,
        zlib.error,
        OSError,
    ) as error:
        raise DataError(
            str(file.place), expected=f"a data file of an S3 Inventory ({file.file_format})", found=str(error)
        ) from error
