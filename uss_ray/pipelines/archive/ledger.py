"""What is done below an output root. The index says it: a recording that has rows there is done, or has failed.

Rows of recordings that failed stand in parts of their own, so that a repetition can take them out.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from uss_ray.api.staging import commit, staging_folder
from uss_ray.arrow import parquet_of
from uss_ray.errors import DataError, OutputError
from uss_ray.records import INDEX_FOLDER, content_key, recording_key
from uss_ray.results.index.failures import FailureTally, failed_jsonl
from uss_ray.results.index.table import (
    INDEX_SCHEMA,
    IndexRow,
    is_current_version,
    read_index_part,
    write_index,
    write_index_part,
)
from uss_ray.results.layout import index_path
from uss_ray.results.stems.part_files import PART_NAME, read_part_facts
from uss_ray.store.store import Store

FAILED_PREFIX = "failed-"
_SETTLED = f"{FAILED_PREFIX}settled"
_READINGS = 5
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
FAILED_LIST_NAME = "failed.jsonl"

_READERS = 16

Keys = NDArray[np.int64]


@dataclass(frozen=True)
class Ledger:
    """What is done.

    Attributes
    ----------
    separated, failed : ndarray of shape (n,), dtype=int64
        Sorted keys of recordings; one that failed first and was separated later counts as separated.
    content_keys, contents : ndarray of shape (n,), dtype=int64
        Sorted keys of those whose content at that time is known, and a hash of its tag for each.
    spoilt : ndarray of shape (n,), dtype=int64
        Sorted hashes of key and content of separated ones that have changed since, and failed.
    """

    separated: Keys
    failed: Keys
    content_keys: Keys = field(default_factory=lambda: np.zeros(0, np.int64))
    contents: Keys = field(default_factory=lambda: np.zeros(0, np.int64))
    spoilt: Keys = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def known(self) -> Keys:
        """All of them."""
        return np.union1d(self.separated, self.failed)

    def has_changed(self, keys: Keys, content_tags: Sequence[str | None]) -> NDArray[np.bool_]:
        """Tell of each key whether its recording has another content now than when it was done, as far as is known."""
        if not len(self.content_keys):
            return np.zeros(len(keys), np.bool_)
        places = np.minimum(np.searchsorted(self.content_keys, keys), len(self.content_keys) - 1)
        then = np.where(self.content_keys[places] == keys, self.contents[places], 0)
        now = np.array([content_key(tag) for tag in content_tags], np.int64)
        return np.asarray((then != 0) & (now != 0) & (then != now))

    def is_spoilt(self, keys: Keys, content_tags: Sequence[str | None]) -> NDArray[np.bool_]:
        """Tell of each key whether its recording is separated, but has failed with the content that it has now."""
        now = np.array([content_key(tag) for tag in content_tags], np.int64)
        return (now != 0) & is_in(_hash_of(keys, now), self.spoilt)


def _hash_of(keys: Keys, contents: Keys) -> Keys:
    return np.asarray((keys * np.int64(0x5851F42D4C957F2D)) ^ contents)  # wraps around


def read_ledger(output: Store) -> Ledger:
    """Read the index for what is done.

    Parameters
    ----------
    output : Store
        Output root; there may be no index yet.

    Returns
    -------
    Ledger

    Raises
    ------
    OutputError
        If the index is there and cannot be read.
    """
    found = _last_rows(output)
    keys, well, contents = found.keys, found.is_well, found.contents
    return Ledger(keys[well], keys[~well], keys[contents != 0], contents[contents != 0], found.spoilt)


@dataclass(frozen=True)
class _LastRows:
    """What the last rows of each recording say, by its key; those that tell of stems come after those of failures."""

    keys: Keys
    is_well: NDArray[np.bool_]
    contents: Keys
    made_at: Keys
    spoilt: Keys


def _last_rows(output: Store) -> _LastRows:
    for left in reversed(range(_READINGS)):
        parts = _index_parts(output)
        try:
            with ThreadPoolExecutor(_READERS) as pool:
                found = list(pool.map(_read_keys, parts))
            break
        except OutputError as error:
            # Another shard brings the index into order, and a part is in the next one.
            if not left or not isinstance(error.__cause__, FileNotFoundError):
                raise
    none = np.zeros(0, np.int64)
    keys = np.concatenate([none, *(part.keys for part in found)])
    made = np.concatenate([none, *(part.made_at for part in found)])
    contents = np.concatenate([none, *(part.contents for part in found)])
    well = np.repeat([not _holds_failed(part) for part in parts], [len(part.keys) for part in found])
    order = np.lexsort((made, well, keys))
    keys, well, contents, made = keys[order], well[order].astype(np.bool_), contents[order], made[order]
    is_last = np.append(keys[1:] != keys[:-1], True)[: len(keys)]
    fails = ~well & (contents != 0) & is_in(keys, keys[is_last & well])
    spoilt = np.unique(_hash_of(keys[fails], contents[fails]))
    return _LastRows(keys[is_last], well[is_last], contents[is_last], made[is_last], spoilt)


def is_in(keys: Keys, found: Keys) -> NDArray[np.bool_]:
    """Tell of each key whether it is among sorted ones."""
    if not len(found):
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(found, keys), len(found) - 1)
    return np.asarray(found[places] == keys)


def done_parts(output: Store, *, folder: str, content_tag: str | None) -> set[int]:
    """Tell which spans of a long recording are complete, and of the content that it has now.

    Parameters
    ----------
    output : Store
        Output root.
    folder : str
        Holds the spans, relative to the root.
    content_tag : str or None
        Of the recording.
    """
    place = output / folder
    if not place.exists():
        return set()
    parts = [file.parent for file in place.list() if file.name == PART_NAME]
    return {int(part.name) for part in parts if _is_of(part, content_tag=content_tag)}


def _is_of(part: Store, *, content_tag: str | None) -> bool:
    try:
        return read_part_facts(part).recording_content == content_tag
    except DataError:  # of another version, or broken: it is done again
        return False


def settle_duplicates(output: Store) -> int:
    """See to it that no recording stands in the index twice, and that all parts have the columns of today.

    Of the rows of a recording those of the content that it has now stay, or else those that were made last: two runs
    that wrote below one root, or a recording that was done again, leave some. The clocks of two workers may differ, so
    where contents do the recording is asked. Parts of several versions are none that other programs read as one table.
    A part is read again only if it needs it.

    Returns
    -------
    int
        Recordings that stood there twice.

    Raises
    ------
    OutputError
        If the index cannot be read or written.
    """
    parts = [part for part in _index_parts(output) if not _holds_failed(part)]
    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(_read_keys, parts))
    if not found:
        return 0
    keys = np.concatenate([each.keys for each in found])
    made = np.concatenate([each.made_at for each in found])
    contents = np.concatenate([each.contents for each in found])
    owners = np.repeat(np.arange(len(parts)), [len(each.keys) for each in found])
    contested = _of_several_contents(keys, contents)
    places = np.flatnonzero(is_in(keys, contested))
    now = _contents_now(output, [parts[owner] for owner in np.unique(owners[places])], contested)
    is_now = np.zeros(len(keys), np.bool_)
    is_now[places] = [now.get(int(keys[place])) == contents[place] for place in places]
    order = np.lexsort((owners, made, is_now, keys))
    keys, made, owners = keys[order], made[order], owners[order]
    is_last = np.append(keys[1:] != keys[:-1], True)
    is_twice = np.isin(keys, keys[~is_last])
    last = {
        int(key): (int(owner), int(when))
        for key, owner, when in zip(
            keys[is_twice & is_last], owners[is_twice & is_last], made[is_twice & is_last], strict=True
        )
    }
    twice = set(owners[is_twice].tolist())
    for place, part in enumerate(parts):
        if place in twice or not found[place].is_current:
            _keep_last(output, part, place=place, last=last, is_current=found[place].is_current)
    return len(last)


def _of_several_contents(keys: Keys, contents: Keys) -> Keys:
    """Give the keys that stand there with more than one content."""
    known = contents != 0
    pairs = np.unique(np.stack([keys[known], contents[known]], axis=1), axis=0)
    several, counts = np.unique(pairs[:, 0], return_counts=True)
    return np.asarray(several[counts > 1])


def _contents_now(output: Store, parts: Sequence[Store], contested: Keys) -> dict[int, int]:
    """Ask recordings what they hold now, as far as they tell."""
    places: dict[int, str] = {}
    for part in parts:
        with (
            part.open() as file,
            parquet_of(str(part), expected="a part of an index", error_type=OutputError),
        ):
            table = pq.read_table(file, columns=["recording_id", "recording_uri"])
            table.validate(full=True)
        named = dict(zip(table["recording_id"].to_pylist(), table["recording_uri"].to_pylist(), strict=True))
        keys = np.array([recording_key(name) for name in named], dtype=np.int64)
        places |= {
            int(key): uri
            for key, uri, is_asked in zip(keys, named.values(), is_in(keys, contested), strict=True)
            if is_asked
        }
    with ThreadPoolExecutor(_READERS) as pool:
        tags = pool.map(lambda uri: Store(uri, output.options).content_tag(), places.values())
        return {key: content_key(tag) for key, tag in zip(places, tags, strict=True) if tag is not None}


def _keep_last(
    output: Store, part: Store, *, place: int, last: Mapping[int, tuple[int, int]], is_current: bool
) -> None:
    table = read_index_part(io.BytesIO(part.read()), name=str(part))
    made = table["created_at"].cast(pa.int64()).to_pylist()
    keys = [recording_key(name) for name in table["recording_id"].to_pylist()]
    stays = [key not in last or last[key] == (place, when) for key, when in zip(keys, made, strict=True)]
    if all(stays) and is_current:
        return
    if not any(stays):
        part.remove()
        return
    name = index_path(part.name.removesuffix(".parquet"))
    with staging_folder(output) as staging:
        write_index_part(table.filter(pa.array(stays)), path=staging / name)
        commit(staging, output=output, name=name)


def tally_of(rows: Iterable[IndexRow], *, keys: Keys) -> FailureTally:
    """Count the reasons of failed recordings, as far as their keys are among sorted ones."""
    tally = FailureTally()
    for row in rows:
        if is_in(np.array([recording_key(row.recording_id)]), keys)[0]:
            tally.add(row.reason or "unknown")
    return tally


class _Separated:
    """Which recordings are separated, and of which content when."""

    def __init__(self, last: _LastRows) -> None:
        well = last.is_well
        self._keys, self._contents, self._made = last.keys[well], last.contents[well], last.made_at[well]

    def mends(self, row: IndexRow) -> bool:
        """Tell whether a failure is over; not if it is that of a later content."""
        key = np.array([recording_key(row.recording_id)])
        if not is_in(key, self._keys)[0]:
            return False
        place = int(np.searchsorted(self._keys, key)[0])
        then, now = int(self._contents[place]), content_key(row.recording_content)
        is_later = (row.created_at - _EPOCH) // _MICROSECOND > self._made[place]
        return not (then and now and then != now and is_later)


def settle_failures(output: Store) -> list[IndexRow]:
    """Bring the rows of failed recordings into order, and list them in `failed.jsonl`.

    Rows of recordings that a repetition has separated, and older rows of those that failed again, go. A recording that
    has changed, and failed since, is in the index twice: its stems are those of the former content.

    Returns
    -------
    list of IndexRow
        Of recordings that have failed and were not separated since.

    Raises
    ------
    OutputError
        If the index cannot be read or written.
    """
    parts = [name for name in _index_parts(output) if _holds_failed(name)]
    separated = _Separated(_last_rows(output)) if parts else None
    latest: dict[str, tuple[bool, IndexRow]] = {}
    rows = 0
    is_current = True
    for part in parts:
        content = io.BytesIO(part.read())
        table = read_index_part(content, name=str(part))
        is_current = is_current and is_current_version(pq.read_schema(content))
        for record in table.to_pylist():
            rows += 1
            row = IndexRow.from_record(record)
            if separated is not None and separated.mends(row):
                continue
            # What was settled is of an earlier run, whatever the clocks of two machines say.
            found = (part.name != f"{_SETTLED}.parquet", row)
            known = latest.get(row.recording_id)
            if known is None or (found[0], row.created_at) > (known[0], known[1].created_at):
                latest[row.recording_id] = found
    ordered = [latest[name][1] for name in sorted(latest)]
    if rows != len(ordered) or not is_current:
        _replace(output, parts, ordered)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FAILED_LIST_NAME
        file.write_text("".join(failed_jsonl(ordered)), encoding="utf-8")
        (output / FAILED_LIST_NAME).put(file)
    return ordered


def _replace(output: Store, parts: Collection[Store], rows: list[IndexRow]) -> None:
    name = _SETTLED
    kept = output / index_path(name)
    if rows:
        with staging_folder(output) as staging:
            write_index(rows, path=staging / index_path(name))
            commit(staging, output=output, name=index_path(name))
    for part in parts:
        if part != kept or not rows:
            part.remove()


def _index_parts(output: Store) -> list[Store]:
    folder = output / INDEX_FOLDER
    if not folder.exists():
        return []
    return [part for part in folder.list() if part.name.endswith(".parquet")]


def _holds_failed(part: Store) -> bool:
    return part.name.startswith(FAILED_PREFIX)


@dataclass(frozen=True)
class _PartKeys:
    """Each recording of a part of the index, once for each time it was done, and when its rows were made."""

    keys: Keys
    made_at: Keys
    contents: Keys
    is_current: bool


def _read_keys(part: Store) -> _PartKeys:
    with (
        part.open() as file,
        parquet_of(str(part), expected="a part of an index", error_type=OutputError),
    ):
        stored = pq.ParquetFile(file)
        wanted = ["recording_id", "created_at", "recording_content"]
        is_current = is_current_version(stored.schema_arrow)
        there = [name for name in wanted if name in stored.schema_arrow.names]
        table = stored.read(there).cast(pa.schema([INDEX_SCHEMA.field(name) for name in there]))
        table.validate(full=True)
        if "recording_content" not in table.column_names:  # version 1 or 2
            table = table.append_column("recording_content", pa.nulls(len(table), pa.string()))
        done = table.group_by(["recording_id", "created_at"]).aggregate([("recording_content", "max")])
    keys = np.array([recording_key(name) for name in done["recording_id"].to_pylist()], dtype=np.int64)
    contents = [content_key(tag) for tag in done["recording_content_max"].to_pylist()]
    return _PartKeys(
        keys, done["created_at"].cast(pa.int64()).to_numpy(), np.array(contents, np.int64), is_current
    )
