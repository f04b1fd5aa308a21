"""What counts as a recording by its name, and the names, keys and rows that recordings keep.

Owns the schema of the rows that travel from a listing to the workers; whether a recording can be read shows when
it is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import pyarrow as pa

from uss_ray.errors import RecordingError
from uss_ray.records import Recording, recording_id, recording_key
from uss_ray.store.store import Store

RECORDING_SCHEMA = pa.schema(
    [
        pa.field("recording_key", pa.int64(), False),
        pa.field("recording_id", pa.string(), False),
        pa.field("recording_uri", pa.string(), False),
        pa.field("bytes", pa.int64()),
        pa.field("duration_seconds", pa.float64()),
        pa.field("content_tag", pa.string()),
    ]
)
"""One row a recording of a listing; the last three are null where the listing does not tell them."""

ROWS_PER_TABLE = 1000


TellPassedOver = Callable[[Sequence[str]], None]
"""A picklable callable that is told the names of files that are no recordings, some at a time."""


class PassedOverNames:
    """Gathers names of files that are no recordings, and tells them some at a time.

    Parameters
    ----------
    tell : callable or None
        None keeps them to itself.
    """

    def __init__(self, tell: TellPassedOver | None) -> None:
        self._tell = tell
        self._names: list[str] = []

    def add(self, name: str) -> None:
        """Take one more."""
        if self._tell is not None:
            self._names.append(name)
            if len(self._names) >= ROWS_PER_TABLE:
                self.flush()

    def flush(self) -> None:
        """Tell what is left."""
        if self._tell is not None and self._names:
            self._tell(self._names)
            self._names = []


class ListedRecording(NamedTuple):
    """What a listing tells of a recording: all of `RECORDING_SCHEMA` but the key, which follows from the id."""

    recording_uri: str
    recording_id: str
    byte_count: int | None = None
    duration_seconds: float | None = None
    content_tag: str | None = None


def single_recording(location: str) -> Recording:
    """Name one recording by its file name alone.

    Raises
    ------
    RecordingError
        If the location has no name.
    """
    name = Store(location).name
    if not name or name == "..":
        raise RecordingError(location or "recording", expected="the name of an audio file", found="none")
    return Recording(recording_uri=location, recording_id=recording_id(name))


def recording_tables(recordings: Iterable[ListedRecording]) -> Iterator[pa.Table]:
    """Gather recordings to tables.

    Parameters
    ----------
    recordings : iterable of ListedRecording
        Taken up as the tables are asked for.

    Yields
    ------
    pa.Table
        Of `RECORDING_SCHEMA`, at most `ROWS_PER_TABLE` rows, in order.

    Raises
    ------
    RecordingError
        If a name is not UTF-8, which neither Parquet nor an object store can hold.
    """
    coming = iter(recordings)
    while rows := list(islice(coming, ROWS_PER_TABLE)):
        uris, ids, byte_counts, durations, tags = zip(*rows, strict=True)
        yield recording_table(
            uris=uris, ids=ids, byte_counts=byte_counts, durations=durations, content_tags=tags
        )


def recording_table(
    *,
    uris: Sequence[str],
    ids: Sequence[str],
    byte_counts: pa.Array | Sequence[int | None],
    durations: pa.Array | Sequence[float | None],
    content_tags: Sequence[str | None] | None = None,
) -> pa.Table:
    """Make one table of `RECORDING_SCHEMA` from its columns; the keys follow from the ids.

    Raises
    ------
    RecordingError
        See `recording_tables`.
    """
    try:
        names = pa.array(uris, pa.string())
    except UnicodeEncodeError as error:
        raise RecordingError(repr(error.object), expected="a name in UTF-8", found=error.reason) from error
    columns = [
        pa.array([recording_key(name) for name in ids], pa.int64()),
        pa.array(ids, pa.string()),
        names,
        pa.array(byte_counts, pa.int64()),
        pa.array(durations, pa.float64()),
        pa.array(content_tags or [None] * len(ids), pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=RECORDING_SCHEMA)
