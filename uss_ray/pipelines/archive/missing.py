"""What of a listing is not done yet. Workers run this without the networks' libraries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from uss_ray.pipelines.archive.ledger import Ledger, is_in
from uss_ray.pipelines.runtime.source import TableReader
from uss_ray.pipelines.runtime.stages import Pass


def undone_readers(readers: Sequence[TableReader], *, run: Pass) -> list[TableReader]:
    """Make readers of what is not done yet: rows of `RECORDING_SCHEMA`, counted as they are found."""
    return [
        _Undone(reader, ledger=run.ledger, retry_failed=run.retry_failed, state=run.state)
        for reader in readers
    ]


@dataclass(frozen=True)
class TellState:
    """Tells the state of the run what a listing passes over."""

    state: Any

    def __call__(self, names: Sequence[str]) -> None:
        """Pass the names on."""
        self.state.add_passed_over.remote(list(names))


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
