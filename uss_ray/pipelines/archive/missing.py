"""What of a listing is not done yet. Workers run this without the networks' libraries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data

from uss_ray.pipelines.archive.ledger import Ledger, is_in
from uss_ray.pipelines.runtime.cluster import LISTING_CPUS
from uss_ray.pipelines.runtime.guarded import guard
from uss_ray.pipelines.runtime.source import TableReader, read_tables
from uss_ray.sources.recordings import RECORDING_SCHEMA


def missing_recordings(
    readers: tuple[TableReader, ...], *, ledger: Any, retry_failed: bool, state: Any
) -> ray.data.Dataset:
    """List what is not done yet, as rows of `RECORDING_SCHEMA`; `ledger` is a reference to a `Ledger`."""
    undone = [_Undone(reader, ledger=ledger, retry_failed=retry_failed, state=state) for reader in readers]
    return read_tables(
        guard(undone, state=state), schema=RECORDING_SCHEMA, name="Recordings", cpus=LISTING_CPUS
    )


class _Undone:
    """A reader of recordings that leaves out what is done, and counts the rest."""

    def __init__(self, reader: TableReader, *, ledger: Any, retry_failed: bool, state: Any) -> None:
        self._reader = reader
        self._ledger = ledger
        self._retry_failed = retry_failed
        self._state = state

    def __call__(self) -> Iterator[pa.Table]:
        known: Ledger = ray.get(self._ledger)
        for table in self._reader():
            kept = drop_done(table, known=known, retry_failed=self._retry_failed)
            self._state.add_found.remote(len(kept))
            yield kept


def drop_done(table: pa.Table, *, known: Ledger, retry_failed: bool) -> pa.Table:
    """Keep the rows that are still to do."""
    keys = table["recording_key"].to_numpy()
    failed = is_in(keys, known.failed)
    wanted = failed if retry_failed else ~(failed | is_in(keys, known.separated))
    # An id that a listing gives twice is separated once.
    first = np.zeros(len(keys), np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    return table.filter(pa.array(wanted & first))
