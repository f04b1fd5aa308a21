"""What is done below an output root. The index says it: a recording that has rows there is done, or has failed.

Rows of recordings that failed stand in parts of their own, so that a repetition can take them out.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from uss_ray.api.staging import commit, staging_folder
from uss_ray.errors import OutputError
from uss_ray.records import INDEX_FOLDER, recording_key
from uss_ray.results.index.failures import failed_jsonl
from uss_ray.results.index.table import IndexRow, read_index_part, write_index
from uss_ray.results.layout import index_path
from uss_ray.results.stems.part_files import PART_NAME
from uss_ray.store.store import Store

FAILED_PREFIX = "failed-"
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
    """

    separated: Keys
    failed: Keys

    @property
    def known(self) -> Keys:
        """All of them."""
        return np.union1d(self.separated, self.failed)


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
    with ThreadPoolExecutor(_READERS) as pool:
        parts = _index_parts(output)
        keys = {True: [np.zeros(0, np.int64)], False: [np.zeros(0, np.int64)]}
        for name, found in zip(parts, pool.map(_keys_of_part, parts), strict=True):
            keys[_holds_failed(name)].append(found)
    separated = np.unique(np.concatenate(keys[False]))
    failed = np.setdiff1d(np.unique(np.concatenate(keys[True])), separated, assume_unique=True)
    return Ledger(separated, failed)


def is_in(keys: Keys, found: Keys) -> NDArray[np.bool_]:
    """Tell of each key whether it is among sorted ones."""
    if not len(found):
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(found, keys), len(found) - 1)
    return np.asarray(found[places] == keys)


def done_parts(output: Store, *, folder: str) -> set[int]:
    """Tell which spans of a long recording are complete; `folder` holds them, relative to the output root."""
    place = output / folder
    if not place.exists():
        return set()
    names = (file.relative_to(place) for file in place.list())
    return {int(name.split("/")[0]) for name in names if name.endswith("/" + PART_NAME)}


def settle_failures(output: Store) -> int:
    """Bring the rows of failed recordings into order, and list them in `failed.jsonl`.

    Rows of recordings that a repetition has separated, and older rows of those that failed again, go.

    Returns
    -------
    int
        Recordings that have failed and were not separated since.

    Raises
    ------
    OutputError
        If the index cannot be read or written.
    """
    parts = [name for name in _index_parts(output) if _holds_failed(name)]
    separated = read_ledger(output).separated if parts else np.zeros(0, np.int64)
    latest: dict[str, IndexRow] = {}
    rows = 0
    for part in parts:
        for record in read_index_part(io.BytesIO(part.read()), name=str(part)).to_pylist():
            rows += 1
            row = IndexRow.from_record(record)
            if is_in(np.array([recording_key(row.recording_id)]), separated)[0]:
                continue
            known = latest.get(row.recording_id)
            if known is None or row.created_at > known.created_at:
                latest[row.recording_id] = row
    ordered = [latest[name] for name in sorted(latest)]
    if rows != len(ordered):
        _replace(output, parts, ordered)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FAILED_LIST_NAME
        file.write_text("".join(failed_jsonl(ordered)), encoding="utf-8")
        (output / FAILED_LIST_NAME).put(file)
    return len(ordered)


def _replace(output: Store, parts: Collection[Store], rows: list[IndexRow]) -> None:
    name = f"{FAILED_PREFIX}settled"
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


def _keys_of_part(part: Store) -> Keys:
    with part.open() as file:
        try:
            names = pq.read_table(file, columns=["recording_id"])["recording_id"]
        except pa.ArrowInvalid as error:
            raise OutputError(
                str(part), expected="a part of an index", found=str(error).splitlines()[0]
            ) from error
    return np.array([recording_key(name) for name in _unique(names)], dtype=np.int64)


def _unique(names: pa.ChunkedArray) -> Iterator[str]:
    yield from pc.unique(names).to_pylist()
