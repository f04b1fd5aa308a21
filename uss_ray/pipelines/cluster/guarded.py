"""Readers whose faults are noticed: Ray Data would drop the block, and the rest of a listing with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import ray

from uss_ray.pipelines.cluster.run_state import is_stopping
from uss_ray.pipelines.cluster.source import TableReader


class GuardedReader:
    """A reader whose fault ends the run with that fault, and that reads no more once the run is stopping.

    Parameters
    ----------
    reader : TableReader
    state : actor handle
        Of `run_state`.
    """

    def __init__(self, reader: TableReader, *, state: Any) -> None:
        self._reader = reader
        self._state = state

    def __call__(self) -> Iterator[pa.Table]:
        """Give the reader's tables."""
        try:
            for table in self._reader():
                if is_stopping(self._state):
                    return
                yield table
        except Exception as error:
            ray.get(self._state.give_up.remote(error))
            raise
