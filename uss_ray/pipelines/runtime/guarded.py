"""Readers whose faults are noticed: Ray Data would drop the block, and the rest of a listing with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import ray

from uss_ray.pipelines.runtime.run_state import begin_telling, is_stopping
from uss_ray.pipelines.runtime.source import TableReader


class GuardedReader:
    """A reader whose fault ends the run with that fault, and that reads no more once the run is stopping.

    Parameters
    ----------
    reader : TableReader
    number : int
        Which of the readers it is; the state is told when it has come to its end.
    state : actor handle
        Of `run_state`.
    """

    def __init__(self, reader: TableReader, *, number: int, state: Any) -> None:
        self._reader = reader
        self._number = number
        self._state = state

    def __call__(self) -> Iterator[pa.Table]:
        """Give the reader's tables."""
        begin_telling(self._state)
        try:
            for table in self._reader():
                if is_stopping(self._state):
                    return
                yield table
            ray.get(self._state.end_listing.remote(self._number))
        except Exception as error:
            ray.get(self._state.give_up.remote(error))
            raise


def guard(readers: Sequence[TableReader], *, state: Any) -> tuple[GuardedReader, ...]:
    """Guard the readers of a pass; until each of them has come to its end, the state does not call it listed."""
    ray.get(state.expect_listings.remote(len(readers)))
    return tuple(GuardedReader(reader, number=number, state=state) for number, reader in enumerate(readers))
