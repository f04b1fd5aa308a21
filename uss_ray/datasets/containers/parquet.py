"""Clips as rows of Parquet files with the encoded audio in a column, as data sets on Hugging Face are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from uss_ray.datasets.clip_audio import (
    BrokenContainer,
    ClipAudio,
    ClipPlace,
    Wanted,
    wants,
    without_suffix,
)
from uss_ray.datasets.containers.options import AUDIO_COLUMNS, ID_COLUMNS, ParquetColumns
from uss_ray.datasets.containers.watched import BrokenContentError, open_watched
from uss_ray.errors import DataError
from uss_ray.store.store import Store

PARQUET_SUFFIXES = (".parquet", ".pq")
_ROWS_AT_ONCE = 8
_BUFFER_BYTES = 8 << 20


@dataclass(frozen=True)
class ParquetReader:
    """Reads the clips of one Parquet file, or of some of its row groups.

    Parameters
    ----------
    place : Store
    columns : ParquetColumns
    row_groups : tuple of int, optional
        None reads them all.

    Raises
    ------
    DataError
        When reading, if the columns are not there, naming those that are; `count_row_groups` says so before.
    """

    place: Store
    columns: ParquetColumns = field(default_factory=ParquetColumns)
    row_groups: tuple[int, ...] | None = None

    def places(self) -> Iterator[ClipPlace | BrokenContainer]:
        """List the clips from the id column, or from the file names in the audio column."""
        try:
            with _open(self.place) as file:
                layout = _Layout.of(file, self.columns, place=self.place)
                for group in self._groups(file):
                    for name in layout.names(file, group):
                        yield ClipPlace(name, f"{self.place}#{name}")
        except BrokenContentError as error:
            yield BrokenContainer(str(self.place), str(error))

    def __call__(self, *, wanted: Wanted | None = None) -> Iterator[ClipAudio | BrokenContainer]:
        """Read the wanted clips, a few rows at a time; row groups without any are skipped."""
        try:
            with _open(self.place) as file:
                layout = _Layout.of(file, self.columns, place=self.place)
                for group in self._groups(file):
                    yield from self._clips(file, layout, group, wanted)
        except BrokenContentError as error:
            yield BrokenContainer(str(self.place), str(error))

    def _clips(
        self, file: pq.ParquetFile, layout: _Layout, group: int, wanted: Wanted | None
    ) -> Iterator[ClipAudio]:
        names = layout.names(file, group)
        if not any(wants(wanted, name) for name in names):
            return
        row = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=[layout.audio_bytes]):
            encoded = layout.encoded(batch)
            for audio in encoded:
                name = names[row]
                row += 1
                if wants(wanted, name):
                    yield ClipAudio(name, f"{self.place}#{name}", data=audio.as_py() or b"")

    def _groups(self, file: pq.ParquetFile) -> Sequence[int]:
        return range(file.num_row_groups) if self.row_groups is None else self.row_groups


def count_row_groups(place: Store, *, columns: ParquetColumns | None = None) -> int:
    """Read the number of row groups from a file's footer; 1 where the footer is broken, for the reader to tell.

    Parameters
    ----------
    place : Store
    columns : ParquetColumns, optional
        None looks for columns of the usual names.

    Raises
    ------
    DataError
        If the columns are not there, naming those that are, or the store fails.
    """
    try:
        with _open(place) as file:
            _Layout.of(file, columns or ParquetColumns(), place=place)
            return int(file.num_row_groups)
    except BrokenContentError:
        return 1


@dataclass(frozen=True)
class _Layout:
    """Where names and bytes are, as column paths; `is_struct` if the audio column holds both."""

    names_in: str
    audio: str
    is_struct: bool

    @classmethod
    def of(cls, file: pq.ParquetFile, columns: ParquetColumns, *, place: Store) -> _Layout:
        schema = file.schema_arrow
        audio = _choose(schema.names, columns.audio, AUDIO_COLUMNS)
        if audio is None:
            raise _missing(place, "audio", columns.audio or "/".join(AUDIO_COLUMNS), schema)
        kind = schema.field(audio).type
        children = {child.name: child.type for child in kind} if pa.types.is_struct(kind) else {}
        if not _is_binary(children.get("bytes", kind)):
            raise DataError(
                f"{place} column {audio}", expected="bytes or a struct with bytes", found=str(kind)
            )
        clip_id = _choose(schema.names, columns.clip_id, ID_COLUMNS)
        if clip_id is None and (columns.clip_id is not None or "path" not in children):
            raise _missing(place, "ids", columns.clip_id or "/".join(ID_COLUMNS), schema)
        return cls(clip_id or f"{audio}.path", audio, bool(children))

    @property
    def audio_bytes(self) -> str:
        return f"{self.audio}.bytes" if self.is_struct else self.audio

    def names(self, file: pq.ParquetFile, group: int) -> list[str]:
        column = file.read_row_group(group, columns=[self.names_in]).column(0)
        values = (value.as_py() for value in column)
        return [_name(value["path"] if isinstance(value, dict) else value) for value in values]

    def encoded(self, batch: pa.RecordBatch) -> pa.Array:
        column = batch.column(0)
        return column.field("bytes") if self.is_struct else column


@contextmanager
def _open(place: Store) -> Iterator[pq.ParquetFile]:
    with (
        # Arrow's word for a page that cannot be decoded is an OSError; see `parquet_of`.
        open_watched(
            place, content_faults=(pa.ArrowException, OSError, KeyError, UnicodeDecodeError)
        ) as source,
        pq.ParquetFile(pa.PythonFile(source, "r"), buffer_size=_BUFFER_BYTES, pre_buffer=False) as file,
    ):
        yield file


def _name(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return without_suffix(PurePosixPath(text).name)


def _choose(names: Sequence[str], chosen: str | None, known: Sequence[str]) -> str | None:
    candidates = known if chosen is None else (chosen,)
    return next((name for name in candidates if name in names), None)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _missing(place: Store, what: str, wanted: str, schema: pa.Schema) -> DataError:
    return DataError(str(place), expected=f"a column with {what} ({wanted})", found=", ".join(schema.names))
