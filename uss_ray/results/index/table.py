"""The index of an output root: one row for each recording and node, in Parquet.

Owns the columns, their types and what must hold between them. Writing stems and filling rows is the
writer's business; where the parts lie is the layout's.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from uss_ray.arrow import first_line, parquet_of, schema_of
from uss_ray.audio.tags import NO_TAGS, RecordingTags
from uss_ray.errors import DataError, OutputError, UssRayError
from uss_ray.records import INDEX_FOLDER
from uss_ray.store.store import FoundFile, Location, Store
from uss_ray.wording import printable, without_bare_secrets, without_secrets

INDEX_VERSION = 5
_READABLE_VERSIONS = ("1", "2", "3", "4", "5")
_LATER_COLUMNS = ("recording_content", "certainty", "stem_probability", "detected_spans")
_VERSION_KEY = b"uss_ray.index_version"

Status = Literal["written", "held", "detected", "silent", "explained", "absent", "unknown", "failed"]
Certainty = Literal["sure", "doubtful"]
Kind = Literal["node", "event", "class", "union", "text", "example", "rest", "residual", "recording"]

INDEX_STATUSES = tuple(status for status in get_args(Status) if status != "held")
"""Statuses that an index can hold."""

PARTS_AT_ONCE = 8
"""Parts to read at a time: of a store each takes its time."""

# One request gets a part of this size whole; of a larger one only what is needed is read.
_SMALL_PART_BYTES = 1 << 20
_KINDS = frozenset(get_args(Kind))
_STATUSES = frozenset(get_args(Status))
_CERTAINTIES = frozenset(get_args(Certainty))
_NO_FILE = (None, None, None)
_WITHOUT_FILE = dict.fromkeys(("stem_uri", "stem_sha256", "stem_bytes", "stem_start_frame"))
_SPANS = ("active_spans", "detected_spans")
_FREE_TEXT = ("recording_uri", "reason")  # Parquet refuses file names that are in no encoding


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What every row of one run has in common.

    Parameters
    ----------
    run_id : str
        Name of the run.
    weights_name, weights_sha256 : str
        Which weights separated.
    settings : str, default="{}"
        The settings of the separation as a JSON object.
    """

    run_id: str
    weights_name: str
    weights_sha256: str
    settings: str = "{}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordingFacts:
    """What is known of a recording before it is separated.

    Parameters
    ----------
    recording_id : str
        From `records.recording_id`.
    recording_uri : str
        Where the recording was read from; kept without secrets.
    sample_rate : int or None, default=None
        Native rate in Hz; None where it could not be read.
    channels : int or None, default=None
        Number of channels.
    frames : int or None, default=None
        Length in native frames; None while unknown.
    format : str or None, default=None
        Format of the recording's file, such as `WAV/PCM_24`.
    recording_sha256 : str or None, default=None
        Checksum of the recording's file; None where it failed, or where most of the file is no sound.
    recording_content : str or None, default=None
        What tells whether the file has changed since: its size and ETag, or time of change; see `Store.content_tag`.
    decoder : str, default="libsndfile"
        The library that decodes it; another is named with the format of the stems.
    note : str or None, default=None
        What its header says that is not so, for the `reason` of all its rows.
    tags : RecordingTags
        What its file says besides its sound, for the stems.
    """

    recording_id: str
    recording_uri: str
    sample_rate: int | None = None
    channels: int | None = None
    frames: int | None = None
    format: str | None = None
    recording_sha256: str | None = None
    recording_content: str | None = None
    decoder: str = "libsndfile"
    note: str | None = None
    tags: RecordingTags = NO_TAGS

    def __post_init__(self) -> None:
        object.__setattr__(self, "recording_uri", without_secrets(self.recording_uri))

    @property
    def seconds(self) -> float | None:
        """Length in seconds, where it is known."""
        if self.frames is None or not self.sample_rate:
            return None
        return self.frames / self.sample_rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of a recording.

    Parameters
    ----------
    start_seconds, end_seconds : float
        Seconds from the start of the recording.
    """

    start_seconds: float
    end_seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActiveSpan(Span):
    """A stretch in which a node is active.

    Parameters
    ----------
    start_seconds, end_seconds : float
        See `Span`.
    stem_uri, stem_sha256, stem_bytes : optional
        The stretch's own file, where active spans are written: name relative to the output root, checksum, size.
    stem_start_frame : int or None, default=None
        Where in the recording that file begins, in native frames: half a fade before the stretch.
    """

    stem_uri: str | None = None
    stem_sha256: str | None = None
    stem_bytes: int | None = None
    stem_start_frame: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class IndexRow:
    """One recording × node; its fields, in their order, are the columns of the index, with `active_seconds` among them.

    Parameters
    ----------
    run_id, recording_id, recording_uri, recording_sha256, recording_content
        See `RunFacts` and `RecordingFacts`.
    node_id : str
        Ontology node, `query:<name>`, `residual`, or empty for a recording that failed as a whole.
    label : str
        Display name.
    level : int or None
        Ontology level (roots are 1); 0 for the residual of the events, None for queries.
    kind : {"node", "event", "class", "union", "text", "example", "rest", "residual", "recording"}
        What was asked for (`rest`: everything but an excluded sound); `recording` only in the one row of a
        failed recording.
    status : {"written", "held", "detected", "silent", "explained", "absent", "unknown", "failed"}
        `written`: a stem was kept, whole or in spans. `held`: it is kept in memory, under the name that its file will
        have; never in an index. `detected`: found, but nothing was to be separated.
        `silent`: was separated, but never above the silence level, so no stem was kept. `explained`: found, but nowhere
        more than what is found of something more specific, whose row has the stem. `absent`: the weights know
        the sound and did not find it. `unknown`: they were trained on none of its classes. `failed`: see `reason`.
    reason : str or None, default=None
        One line: why a recording failed, or what its header said that was not so.
    probability : float or None, default=None
        Highest probability over all segments, in [0, 1]; None where nothing was tagged, or the sound is unknown.
    certainty : {"sure", "doubtful"} or None, default=None
        Whether it is sure somewhere that the sound is there; of one that is `absent`, whether that is sure. None where
        neither is told.
    stem_probability : float or None, default=None
        Highest probability of the sound in its own stem, where that was tagged because it is doubtful; in [0, 1].
    active_spans : tuple of ActiveSpan, default=()
        Where the node is detected, in order, without overlap. Where spans are written, each with its own file: where
        it was separated, which of what was asked for by name is wherever there is sound.
    detected_spans : tuple of Span or None, default=None
        Where the node is detected, of a row whose `active_spans` are where it was separated; None: these tell it.
    level_db, peak_db : float or None, default=None
        RMS and peak over the whole stem in dB relative to full scale; None for digital silence.
    stem_uri : str or None, default=None
        File of the whole stem relative to the output root; None where the spans have files.
    stem_sha256 : str or None, default=None
        Checksum of that file; None while it is held in memory.
    stem_bytes : int or None, default=None
        Size of that file.
    clipped_samples : int or None, default=None
        Samples beyond full scale that integer coding clipped, over all channels.
    sample_rate, channels, frames : int or None, default=None
        Native rate in Hz, channels and frames, the same for a recording and its stems.
    format : str or None, default=None
        Format of the stem, such as `FLAC/PCM_24`; with `, from MATROSKA/OPUS by FFmpeg` where that decoded it.
    weights_name, weights_sha256, settings : str
        See `RunFacts`.
    processing_seconds : float or None, default=None
        Time spent on the recording (not on this node alone).
    created_at : datetime
        When the row was made, with a time zone.

    Raises
    ------
    DataError
        If the fields contradict each other, such as `written` without a stem.
    """

    run_id: str
    recording_id: str
    recording_uri: str
    recording_sha256: str | None = None
    recording_content: str | None = None
    node_id: str
    label: str
    level: Annotated[int, pa.int16()] | None
    kind: Kind
    status: Status
    reason: str | None = None
    probability: Annotated[float, pa.float32()] | None = None
    certainty: Certainty | None = None
    stem_probability: Annotated[float, pa.float32()] | None = None
    active_spans: tuple[ActiveSpan, ...] = ()
    detected_spans: tuple[Span, ...] | None = None
    level_db: Annotated[float, pa.float32()] | None = None
    peak_db: Annotated[float, pa.float32()] | None = None
    stem_uri: str | None = None
    stem_sha256: str | None = None
    stem_bytes: int | None = None
    clipped_samples: int | None = None
    sample_rate: Annotated[int, pa.int32()] | None = None
    channels: Annotated[int, pa.int16()] | None = None
    frames: int | None = None
    format: str | None = None
    weights_name: str
    weights_sha256: str
    settings: str = "{}"
    processing_seconds: float | None = None
    created_at: datetime = dataclasses.field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        contradiction = _contradiction(self)
        if contradiction is not None:
            field, expected, found = contradiction
            item = f"index row {self.recording_id} × {self.node_id or 'recording'}, {field}"
            raise DataError(item, expected=expected, found=found)

    @property
    def group(self) -> int | None:
        """With which other rows it adds up to the recording: those of its level, events (0), or queries (None)."""
        return 0 if self.kind == "event" else self.level

    @property
    def active_seconds(self) -> float:
        """Time in which the node is detected."""
        if not self.heard_spans:
            return 0.0
        return sum(span.end_seconds - span.start_seconds for span in self.heard_spans)

    @property
    def heard_spans(self) -> tuple[Span, ...]:
        """Where the node is detected, whatever has files."""
        return self.active_spans if self.detected_spans is None else self.detected_spans

    @property
    def is_kept(self) -> bool:
        """Whether its sound was kept, in files or in memory."""
        return self.status in ("written", "held")

    @property
    def stem_files(self) -> int:
        """How many files it names: one whole stem, or those of its spans."""
        whole = self.stem_uri is not None
        if not self.active_spans:
            return int(whole)
        return whole + len({span.stem_uri for span in self.active_spans} - {None})

    @property
    def written_bytes(self) -> int:
        """Size of all its files together."""
        # Several spans may lie in one file, where the stem is that of another row.
        files: tuple[IndexRow | ActiveSpan, ...] = (self, *self.active_spans)
        return sum({file.stem_uri: file.stem_bytes or 0 for file in files}.values())

    def to_record(self) -> dict[str, Any]:
        """Turn the row into plain values, one for each column of `INDEX_SCHEMA`."""
        return {name: _plain(name, getattr(self, name)) for name in INDEX_SCHEMA.names}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> IndexRow:
        """Make the row again from what `to_record` or a row of `read_index(...).to_pylist()` gives."""
        values = {name: value for name, value in record.items() if name != "active_seconds"}
        values["active_spans"] = tuple(ActiveSpan(**span) for span in record["active_spans"])
        detected = record.get("detected_spans")
        values["detected_spans"] = None if detected is None else tuple(Span(**span) for span in detected)
        return cls(**values)


def _index_schema() -> pa.Schema:
    schema = schema_of(IndexRow, metadata={_VERSION_KEY: str(INDEX_VERSION).encode()})
    active_seconds = pa.field("active_seconds", pa.float64(), nullable=False)
    return schema.insert(schema.get_field_index("active_spans") + 1, active_seconds)


INDEX_SCHEMA = _index_schema()
_TEXT_COLUMNS = [field.name for field in INDEX_SCHEMA if pa.types.is_string(field.type)]
_FIELDS_OF = attrgetter(*INDEX_SCHEMA.names)


def _contradiction(row: IndexRow) -> tuple[str, str, str] | None:
    """Find what cannot be in a row: the field, what is expected there and what was found."""
    if row.kind not in _KINDS:
        return "kind", f"one of {get_args(Kind)}", repr(row.kind)
    if row.status not in _STATUSES:
        return "status", f"one of {get_args(Status)}", repr(row.status)
    if row.status == "failed" and row.reason is None:
        return "reason", "a reason where the recording failed", "none"
    named_by: tuple[IndexRow | ActiveSpan, ...] = (row, *row.active_spans)
    for named in named_by:
        values = (named.stem_uri, named.stem_sha256, named.stem_bytes)
        if values != _NO_FILE and None in values and row.status != "held":
            where = "" if isinstance(named, IndexRow) else f"span from {named.start_seconds} s, "
            return f"{where}stem_uri", "a file with its checksum and size, or none", str(values)
    files = row.stem_files
    if row.stem_uri is not None and files > 1:
        return "stem_uri", "a whole stem or those of its spans", f"{files} files"
    if row.is_kept != (files > 0):
        return "stem_uri", "a value if and only if written or held", f"{row.status}, {files} files"
    for name, probability in (("probability", row.probability), ("stem_probability", row.stem_probability)):
        if probability is not None and not 0.0 <= probability <= 1.0:
            return name, "a number in [0, 1]", str(probability)
    if row.certainty is not None and row.certainty not in _CERTAINTIES:
        return "certainty", f"one of {get_args(Certainty)}", repr(row.certainty)
    for name, level in (("level_db", row.level_db), ("peak_db", row.peak_db)):
        if level is not None and not math.isfinite(level):
            return name, "a finite number or none", str(level)
    for name, spans in (("active_spans", row.active_spans), ("detected_spans", row.detected_spans or ())):
        edges = [edge for span in spans for edge in (span.start_seconds, span.end_seconds)]
        if edges != sorted(edges):
            return name, "spans in order without overlap", str(edges)
    return None


def blank_row(
    recording: RecordingFacts, *, run: RunFacts, processing_seconds: float | None = None
) -> IndexRow:
    """Make a row that says which recording and run it is of, and no more."""
    return IndexRow(
        run_id=run.run_id,
        recording_id=recording.recording_id,
        recording_uri=recording.recording_uri,
        recording_sha256=recording.recording_sha256,
        recording_content=recording.recording_content,
        node_id="",
        label="",
        level=None,
        kind="recording",
        status="absent",
        sample_rate=recording.sample_rate,
        channels=recording.channels,
        frames=recording.frames,
        weights_name=run.weights_name,
        weights_sha256=run.weights_sha256,
        settings=run.settings,
        processing_seconds=processing_seconds,
        reason=recording.note,
    )


def failed_row(recording: RecordingFacts, *, run: RunFacts, reason: str) -> IndexRow:
    """Make the one row of a recording that could not be separated.

    Parameters
    ----------
    recording : RecordingFacts
        The recording, as far as it is known.
    run : RunFacts
        The run.
    reason : str
        One line, such as `UssRayError.reason`.

    Returns
    -------
    IndexRow
        With status `failed` and an empty `node_id`.
    """
    blank = blank_row(recording, run=run)
    return dataclasses.replace(
        blank, status="failed", reason=printable(without_bare_secrets(" ".join(reason.split())))
    )


def to_table(rows: Iterable[IndexRow]) -> pa.Table:
    """Turn rows into a table of `INDEX_SCHEMA`, in their order."""
    # All fields of a row at once: thousands of rows are more than a processor's cache holds.
    columns = list(zip(*map(_FIELDS_OF, rows), strict=True)) or [()] * len(INDEX_SCHEMA)
    arrays = [_column(values, field) for values, field in zip(columns, INDEX_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=INDEX_SCHEMA)


def _column(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if field.name in _SPANS or field.name in _FREE_TEXT:
        values = [_plain(field.name, value) for value in values]
    return pa.array(values, type=field.type)


def _plain(name: str, value: Any) -> Any:
    if name in _SPANS:
        return None if value is None else [vars(span).copy() for span in value]
    if name in _FREE_TEXT and value is not None and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def write_index(rows: Iterable[IndexRow], *, path: Path) -> None:
    """Write rows as one part of the index; see `write_index_part`."""
    write_index_part(to_table(rows), path=path)


def write_index_part(table: pa.Table, *, path: Path) -> None:
    """Write one part of the index.

    Parameters
    ----------
    table : pyarrow.Table
        Rows of `INDEX_SCHEMA`.
    path : Path
        A file of a staging folder, which nobody reads before it is whole; folders are made.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd", use_dictionary=_TEXT_COLUMNS)
    except OSError as error:
        raise OutputError(
            str(path), expected="a place that can be written", found=first_line(error)
        ) from error


def read_index(root: Location | Store) -> pa.Table:
    """Read every part of the index below an output root.

    Parameters
    ----------
    root : Store, str or path
        Output root.

    Returns
    -------
    pyarrow.Table
        All rows with the columns of `INDEX_SCHEMA`; parts in the order of their names, those of version 1
        brought to this one. Empty files (markers) are passed over.

    Raises
    ------
    DataError
        If there is no part, or a part is not Parquet or not of this schema.
    OutputError
        If the store cannot be read.
    """
    tables = []
    for part in index_parts(Store.of(root, OutputError)):
        with part.place.open() as file:
            tables.append(read_index_part(file, name=str(part.place)))
    return pa.concat_tables(tables)


class NoIndexError(DataError):
    """There is no part of an index."""


class IndexVersionError(DataError):
    """A part of an index is of another program or a later version of this one: it is whole, and read by that."""


def index_parts(output: Store, *, first: str = "") -> Iterator[FoundFile]:
    """List the parts of an index in the order of their names, without empty files, which are markers.

    Parameters
    ----------
    output : Store
        Output root.
    first : str, default=""
        Name of a file: parts before it are passed over, and are not asked for anything.

    Raises
    ------
    NoIndexError
        If there is no part at all.
    OutputError
        If the store cannot be asked.
    """
    none_yet = not first
    try:
        # A name that `first` begins with comes before it, and so do those between the two.
        for part in (output / INDEX_FOLDER).files(after=first[:-1]):
            if part.place.name.endswith(".parquet") and part.size_bytes != 0 and part.place.name >= first:
                none_yet = False
                yield part
    except UssRayError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
    if none_yet:
        raise NoIndexError(str(output), expected=f"an index ({INDEX_FOLDER}/*.parquet)", found="none")


@contextmanager
def open_part(part: FoundFile) -> Iterator[Any]:
    """Open a part of an index for reading, seekable; a small one is got whole."""
    if part.size_bytes is not None and part.size_bytes <= _SMALL_PART_BYTES:
        # Arrow's threads let go of it when they like, even while Python ends: it must not be Python's memory.
        copy = pa.BufferOutputStream()
        copy.write(part.place.read())
        yield pa.BufferReader(copy.getvalue())
    else:
        with part.place.open() as file:
            yield file


def read_index_part(file: Any, *, name: str, columns: Sequence[str] = tuple(INDEX_SCHEMA.names)) -> pa.Table:
    """Read one part of an index, whichever version wrote it.

    Parameters
    ----------
    file : binary file
        Open for reading, seekable.
    name : str
        For errors.
    columns : sequence of str, optional
        Names of columns of `INDEX_SCHEMA`; by default all. Others are not read.

    Returns
    -------
    pyarrow.Table
        Its rows with these columns.

    Raises
    ------
    DataError
        If it is not Parquet, damaged, of an unknown version, or not of the schema.
    """
    with parquet_of(name):
        stored = pq.ParquetFile(file)
        there = stored.schema_arrow
        table = stored.read([column for column in columns if column in there.names])
        table.validate(full=True)
    check_index_version(there, name=name)
    for column in _LATER_COLUMNS:
        if column in columns and column not in there.names:
            table = table.append_column(column, pa.nulls(len(table), INDEX_SCHEMA.field(column).type))
    missing = [column for column in INDEX_SCHEMA.names if column not in (*there.names, *_LATER_COLUMNS)]
    extra = [column for column in there.names if column not in INDEX_SCHEMA.names]
    if missing or extra:
        raise DataError(name, expected="the columns of the index", found=f"missing {missing}, extra {extra}")
    try:
        table = table.select(columns).cast(
            pa.schema([INDEX_SCHEMA.field(column) for column in columns], metadata=INDEX_SCHEMA.metadata)
        )
    except (pa.ArrowException, ValueError) as error:
        raise DataError(name, expected="the column types of the index", found=first_line(error)) from error
    for column, allowed in (("status", INDEX_STATUSES), ("kind", get_args(Kind))):
        if column not in columns:
            continue
        found = sorted(set(table[column].unique().to_pylist()) - set(allowed))
        if found:
            raise DataError(f"{name}, {column}", expected=f"one of {allowed}", found=str(found))
    return table.replace_schema_metadata(INDEX_SCHEMA.metadata)


def heard_in(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Give where the sound of a row was detected, each stretch with the file that it lies in, if they have any.

    Parameters
    ----------
    record : dict
        With `active_spans` and, where the index has it, `detected_spans`, as in `IndexRow.to_record`.

    Returns
    -------
    list of dict
        Of the fields of `ActiveSpan`.
    """
    active: list[dict[str, Any]] = record["active_spans"]
    detected = record.get("detected_spans")
    if detected is None:
        return active
    heard = []
    for span in detected:
        place = bisect_right(active, span["start_seconds"], key=itemgetter("start_seconds")) - 1
        holds = place >= 0 and span["end_seconds"] <= active[place]["end_seconds"]
        heard.append((active[place] if holds else _WITHOUT_FILE) | span)
    return heard


def has_file(rows: pa.Table) -> NDArray[np.bool_]:
    """Tell which rows of an index name a file, a whole stem or that of a span; of its columns it needs these two."""
    has = np.array(rows["stem_uri"].is_valid().to_numpy(), np.bool_)
    spans = rows["active_spans"].combine_chunks()
    own = pc.struct_field(pc.list_flatten(spans), "stem_uri").is_valid()
    has[pc.list_parent_indices(spans).filter(own).to_numpy()] = True
    return has


def check_index_version(schema: pa.Schema, *, name: str) -> None:
    """Refuse a part of an index that another program, or a later version of this one, wrote.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the part, with its metadata.
    name : str
        For errors.

    Raises
    ------
    IndexVersionError
        If the version is none that can be read.
    """
    version = (schema.metadata or {}).get(_VERSION_KEY, b"none").decode()
    if version not in _READABLE_VERSIONS:
        expected = f"index version {' or '.join(_READABLE_VERSIONS)}"
        raise IndexVersionError(name, expected=expected, found=f"version {version}")


def is_current_version(schema: pa.Schema) -> bool:
    """Tell whether a part has the columns of today; `schema` with its metadata."""
    return (schema.metadata or {}).get(_VERSION_KEY) == str(INDEX_VERSION).encode()
