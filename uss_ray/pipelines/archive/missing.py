"""What of a listing is not done yet. Workers run this without the networks' libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data

from uss_ray.pipelines.archive.ledger import Ledger, is_in
from uss_ray.pipelines.cluster.guarded import GuardedReader
from uss_ray.pipelines.cluster.runtime import LISTING_CPUS
from uss_ray.pipelines.cluster.source import TableReader, read_tables
from uss_ray.pipelines.cluster.stages import map_tables
from uss_ray.pipelines.recordings import RECORDING_SCHEMA


def missing_recordings(
    readers: tuple[TableReader, ...], *, ledger: Any, retry_failed: bool, state: Any
) -> ray.data.Dataset:
    """List what is not done yet, as rows of `RECORDING_SCHEMA`; `ledger` is a reference to a `Ledger`."""
    guarded = tuple(GuardedReader(reader, state=state) for reader in readers)
    listed = read_tables(guarded, schema=RECORDING_SCHEMA, name="Recordings", cpus=LISTING_CPUS)
    return map_tables(
        listed, drop_done, cpus=LISTING_CPUS, ledger=ledger, retry_failed=retry_failed, state=state
    )


def drop_done(table: pa.Table, *, ledger: Any, retry_failed: bool, state: Any) -> pa.Table:
    """Keep the rows that are still to do, and count them."""
    known: Ledger = ray.get(ledger)
    keys = table["recording_key"].to_numpy()
    failed = is_in(keys, known.failed)
    wanted = failed if retry_failed else ~(failed | is_in(keys, known.separated))
    # An id that a listing gives twice is separated once.
    first = np.zeros(len(keys), np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    kept = table.filter(pa.array(wanted & first))
    state.add_found.remote(len(kept))
    return kept
