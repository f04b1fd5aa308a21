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


def undone_readers(readers: Sequence[TableReader], *, run: Pass, is_first: bool) -> list[TableReader]:
    """Make readers of what is not done yet: rows of `RECORDING_SCHEMA`, counted as they are found.

    Parameters
    ----------
    readers : sequence of TableReader
    run : Pass
    is_first : bool
        Whether what is done was done by earlier runs, and counts as that.
    """
    return [
        _Undone(reader, run=run, number=number if is_first else None) for number, reader in enumerate(readers)
    ]


@dataclass(frozen=True)
class TellState:
    """Tells the state of the run what a listing passes over."""

    state: Any
    method: str = "add_passed_over"

    def __call__(self, names: Sequence[str]) -> None:
        """Pass the names on."""
        getattr(self.state, self.method).remote(list(names))


class _Undone:
    """A reader of recordings that leaves out what is done, and counts the rest."""

    def __init__(self, reader: TableReader, *, run: Pass, number: int | None) -> None:
        self._reader = reader
        self._ledger = run.ledger
        self._retry_failed = run.retry_failed
        self._state = run.state
        self._number = number

    def __call__(self) -> Iterator[pa.Table]:
        known: Ledger = ray.get(self._ledger)
        if self._number is not None:
            self._state.begin_earlier.remote(self._number)
        for table in self._reader():
            kept = drop_done(table, known=known, retry_failed=self._retry_failed)
            self._state.add_found.remote(len(kept))
            if self._number is not None:
                keys = np.unique(table["recording_key"].to_numpy())
                failed = keys[is_in(keys, known.failed)] if not self._retry_failed else keys[:0]
                skipped = int(is_in(keys, known.separated).sum())
                self._state.add_earlier.remote(self._number, skipped, failed)
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
