"""What is done below an output root. The index says it: a recording that has rows there is done, or has failed.

Rows of recordings that failed stand in parts of their own, so that a repetition can take them out.
"""

from __future__ import annotations

import io
import tempfile
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from uss_ray.api.staging import commit, staging_folder
from uss_ray.arrow import parquet_of
from uss_ray.errors import DataError, OutputError
from uss_ray.parallel import map_stream
from uss_ray.records import INDEX_FOLDER, content_key, recording_key
from uss_ray.results.index.failures import FAILED_COLUMNS, FailureTally, failed_jsonl
from uss_ray.results.index.table import (
    INDEX_SCHEMA,
    is_current_version,
    read_index_part,
    write_index_part,
)
from uss_ray.results.layout import index_path
from uss_ray.results.stems.part_files import PART_NAME, read_part_facts
from uss_ray.store.store import Store

FAILED_PREFIX = "failed-"
_SETTLED = f"{FAILED_PREFIX}settled"
_READINGS = 5
FAILED_LIST_NAME = "failed.jsonl"

_READERS = 16
_MICROSECONDS = 1_000_000
_LINES_AT_ONCE = 10_000
_NO_FAILURES = pa.schema(
    [INDEX_SCHEMA.field(name) for name in (*FAILED_COLUMNS, "recording_content")]
).empty_table()

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
    found = last_rows(output)
    keys, well, contents = found.keys, found.is_well, found.contents
    return Ledger(keys[well], keys[~well], keys[contents != 0], contents[contents != 0], found.spoilt)


@dataclass(frozen=True)
class LastRows:
    """What the last rows of each recording say, by its key; those that tell of stems come after those of failures."""

    keys: Keys
    is_well: NDArray[np.bool_]
    contents: Keys
    made_at: Keys
    spoilt: Keys

    def are_of(self, key: int, *, contents: Iterable[int], written_at: float) -> bool:
        """Tell whether a recording was done with what its spans are of, or after them; not whether it was before.

        Parameters
        ----------
        key : int
        contents : iterable of int
            Of the spans, as `content_key`.
        written_at : float
            When the last one came, in seconds since 1970.
        """
        place = int(np.searchsorted(self.keys, key))
        if place == len(self.keys) or self.keys[place] != key:
            return False
        then = int(self.contents[place])
        if int(self.made_at[place]) / _MICROSECONDS >= written_at:
            return True
        # Clocks of workers and stores differ: where contents tell, they decide.
        return bool(self.is_well[place]) and (not then or all(content in (0, then) for content in contents))


def last_rows(output: Store) -> LastRows:
    """Read the index for what it says last of each recording; errors as of `read_ledger`."""
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
    return LastRows(keys[is_last], well[is_last], contents[is_last], made[is_last], spoilt)


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


def content_of_part(part: Store) -> int:
    """Hash the content that a span is of, see `content_key`; 0 where it does not tell."""
    try:
        return content_key(read_part_facts(part).recording_content)
    except DataError:  # of another version, or broken
        return 0


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

    def keep(place: int) -> None:
        _keep_last(output, parts[place], place=place, last=last, is_current=found[place].is_current)

    ours = [place for place in range(len(parts)) if place in twice or not found[place].is_current]
    deque(map_stream(keep, ours, threads=_READERS), maxlen=0)
    return len(last)


def _of_several_contents(keys: Keys, contents: Keys) -> Keys:
    """Give the keys that stand there with more than one content."""
    known = contents != 0
    pairs = np.unique(np.stack([keys[known], contents[known]], axis=1), axis=0)
    several, counts = np.unique(pairs[:, 0], return_counts=True)
    return np.asarray(several[counts > 1])


def _contents_now(output: Store, parts: Sequence[Store], contested: Keys) -> dict[int, int]:
    """Ask recordings what they hold now, as far as they tell."""

    def named_in(part: Store) -> dict[int, str]:
        with (
            part.open() as file,
            parquet_of(str(part), expected="a part of an index", error_type=OutputError),
        ):
            table = pq.read_table(file, columns=["recording_id", "recording_uri"])
            table.validate(full=True)
        named = dict(zip(table["recording_id"].to_pylist(), table["recording_uri"].to_pylist(), strict=True))
        keys = np.array([recording_key(name) for name in named], dtype=np.int64)
        return {
            int(key): uri
            for key, uri, is_asked in zip(keys, named.values(), is_in(keys, contested), strict=True)
            if is_asked
        }

    places: dict[int, str] = {}
    for found in map_stream(named_in, parts, threads=_READERS):
        places |= found
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


def tally_of(rows: pa.Table, *, keys: Keys) -> FailureTally:
    """Count the reasons of failed recordings, as far as their keys are among sorted ones."""
    tally = FailureTally()
    counted = rows.filter(pa.array(is_in(_keys_of(rows), keys)))["reason"].value_counts()
    for reason in counted.to_pylist():
        tally.add(reason["values"] or "unknown", count=reason["counts"])
    return tally


def _keys_of(rows: pa.Table) -> Keys:
    return np.array([recording_key(name) for name in rows["recording_id"].to_pylist()], np.int64)


def _are_mended(rows: pa.Table, *, keys: Keys, last: LastRows) -> NDArray[np.bool_]:
    """Tell which failures are over, for the recording is separated; not one of a later content."""
    separated, contents, made = (of[last.is_well] for of in (last.keys, last.contents, last.made_at))
    if not len(separated):
        return np.zeros(len(rows), np.bool_)
    places = np.minimum(np.searchsorted(separated, keys), len(separated) - 1)
    then = contents[places]
    now = np.array([content_key(tag) for tag in rows["recording_content"].to_pylist()], np.int64)
    is_of_later = (then != 0) & (now != 0) & (then != now) & (_made_at(rows) > made[places])
    return is_in(keys, separated) & ~is_of_later


def _made_at(rows: pa.Table) -> Keys:
    return np.asarray(rows["created_at"].cast(pa.int64()).to_numpy())


def settle_failures(output: Store) -> pa.Table:
    """Bring the rows of failed recordings into order, and list them in `failed.jsonl`.

    Rows of recordings that a repetition has separated, and older rows of those that failed again, go. A recording that
    has changed, and failed since, is in the index twice: its stems are those of the former content.

    Returns
    -------
    pyarrow.Table
        `FAILED_COLUMNS` of recordings that have failed and were not separated since, by their ids.

    Raises
    ------
    OutputError
        If the index cannot be read or written.
    """
    parts = [name for name in _index_parts(output) if _holds_failed(name)]
    read = list(map_stream(_read_failures, parts, threads=_READERS))
    rows = pa.concat_tables([_NO_FAILURES, *(table for table, _ in read)])
    owners = np.repeat(np.arange(len(parts)), [len(table) for table, _ in read])
    keys = _keys_of(rows)
    mended = _are_mended(rows, keys=keys, last=last_rows(output)) if parts else np.zeros(0, np.bool_)
    # What was settled is of an earlier run, whatever the clocks of two machines say; of two alike the first stays.
    is_new = np.array([part.name != f"{_SETTLED}.parquet" for part in parts], np.bool_)[owners]
    order = np.lexsort((-np.arange(len(rows)), _made_at(rows), is_new, ~mended, keys))
    is_last = np.append(keys[order][1:] != keys[order][:-1], True)[: len(order)]
    chosen = order[is_last & ~mended[order]]
    chosen = chosen[pc.sort_indices(rows["recording_id"].take(chosen)).to_numpy()]
    if len(chosen) != len(rows) or not all(is_current for _, is_current in read):
        _replace(output, parts, rows=chosen, starts=np.searchsorted(owners, np.arange(len(parts) + 1)))
    ordered = rows.select(FAILED_COLUMNS).take(chosen)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FAILED_LIST_NAME
        with file.open("w", encoding="utf-8") as lines:
            for batch in ordered.to_batches(max_chunksize=_LINES_AT_ONCE):
                lines.writelines(failed_jsonl(batch.to_pylist()))
        (output / FAILED_LIST_NAME).put(file)
    return ordered


def _read_failures(part: Store) -> tuple[pa.Table, bool]:
    content = io.BytesIO(part.read())
    table = read_index_part(content, name=str(part), columns=_NO_FAILURES.column_names)
    return table, is_current_version(pq.read_schema(content))


def _replace(output: Store, parts: Sequence[Store], *, rows: Keys, starts: Keys) -> None:
    """Put rows of several parts, numbered through all of them, into the one part that stays."""
    name = _SETTLED
    kept = output / index_path(name)
    if len(rows):

        def read(place: int) -> pa.Table:
            own = rows[(rows >= starts[place]) & (rows < starts[place + 1])] - starts[place]
            part = parts[place]
            return read_index_part(io.BytesIO(part.read()), name=str(part)).take(np.sort(own))

        of_parts = pa.concat_tables(map_stream(read, range(len(parts)), threads=_READERS))
        with staging_folder(output) as staging:
            # They come part after part, and are to stand as `rows` has them.
            table = of_parts.take(np.argsort(np.argsort(rows))).combine_chunks()
            write_index_part(table, path=staging / index_path(name))
            commit(staging, output=output, name=index_path(name))
    gone = [part for part in parts if part != kept or not len(rows)]
    deque(map_stream(Store.remove, gone, threads=_READERS), maxlen=0)


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
