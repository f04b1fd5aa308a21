"""The mining pipeline: stream what is not done, decode, mine. Only thin rows reach the driver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
from numpy.typing import NDArray

from uss_ray.anchors.anchor import Reject
from uss_ray.datasets.clip_audio import ClipReader
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.errors import OutputError
from uss_ray.pipelines.mining.clips import CLIP_SCHEMA, NO_ROW, Rows, clip_tables, selected_clips
from uss_ray.pipelines.mining.decode import decode_packets
from uss_ray.pipelines.mining.ledger import MiningLedger
from uss_ray.pipelines.mining.mine import MakeMiner, MinePackets
from uss_ray.pipelines.mining.outcome import MiningReport
from uss_ray.pipelines.mining.receipts import commit_failed, packet_name
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.runtime.cluster import DECODE_CPUS, LISTING_CPUS, WorkerPool
from uss_ray.pipelines.runtime.guarded import guard
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.run_state import pinned
from uss_ray.pipelines.runtime.source import read_tables
from uss_ray.pipelines.runtime.stages import map_tables, map_with_actors

PACKET_CLIPS = 64
"""Clips that are mined side by side, and whose anchors make a shard."""

_SHARED_OUT = 4  # packets that each worker should get of a small set


def packet_clips(clips: int, *, actors: int, batch_size: int) -> int:
    """Choose how many clips go together: whole batches, fewer of a small set, so that each worker gets some."""
    share = clips // (_SHARED_OUT * actors) // batch_size * batch_size
    return max(batch_size, min(share, max(batch_size, PACKET_CLIPS // batch_size * batch_size)))


class ClipClaims:
    """Which reader has a clip: the first that asked, in every attempt it makes."""

    def __init__(self, clips: int) -> None:
        self._owners = np.full(clips, -1, np.int32)

    def claim(self, rows: Rows, reader: int) -> NDArray[np.bool_]:
        """Tell of each row whether it is this reader's."""
        free = rows[self._owners[rows] < 0]
        self._owners[free] = reader
        return np.asarray(self._owners[rows] == reader)


@dataclass(frozen=True, kw_only=True)
class ClipListing:
    """What is to be streamed, as references into Ray's store: a machine holds one copy for all that read there.

    Parameters
    ----------
    readers : tuple of ClipReader
    table : object reference
        To the `SegmentTable`.
    clips : int
        Its rows.
    options : JobOptions
        Which of the clips, and whether those that failed.
    """

    readers: tuple[ClipReader, ...]
    table: Any
    clips: int
    options: JobOptions = field(default_factory=JobOptions)

    def missing(self, *, ledger: Any, state: Any) -> ray.data.Dataset:
        """Stream what is not done yet, as rows of `CLIP_SCHEMA`; `ledger` is a reference to a `MiningLedger`."""
        claims = pinned(ClipClaims).remote(self.clips) if len(self.readers) > 1 else None
        readers = [
            _ClipTables(
                reader,
                number=number,
                listing=self,
                ledger=ledger,
                state=state,
                claims=claims,
            )
            for number, reader in enumerate(self.readers)
        ]
        return read_tables(guard(readers, state=state), schema=CLIP_SCHEMA, name="Clips", cpus=LISTING_CPUS)


class _ClipTables:
    def __init__(
        self,
        reader: ClipReader,
        *,
        number: int,
        listing: ClipListing,
        ledger: Any,
        state: Any,
        claims: Any,
    ) -> None:
        self._reader = reader
        self._number = number
        self._table, self._options = listing.table, listing.options
        self._ledger = ledger
        self._state = state
        self._claims = claims

    def __call__(self) -> Iterator[pa.Table]:
        table: SegmentTable = ray.get(self._table)
        ledger: MiningLedger = ray.get(self._ledger)
        chosen = selected_clips(self._options, clips=len(table))
        wanted = chosen & ledger.wanted(retry_failed=self._options.retry_failed)
        for clips in clip_tables(self._reader, table=table, wanted=wanted, claim=self._claim):
            found = int((clips["row"].to_numpy() != NO_ROW).sum())
            ray.get(self._state.add_found.remote(found))
            yield clips

    def _claim(self, rows: Rows) -> NDArray[np.bool_]:
        if self._claims is None:
            return np.ones(len(rows), np.bool_)
        claimed: NDArray[np.bool_] = ray.get(self._claims.claim.remote(rows, self._number))
        return claimed


def mining_reports(
    listing: ClipListing,
    *,
    request: MiningRequest,
    sample_rate: int,
    pool: WorkerPool,
    packet_clips: int,
    is_alone: bool,
    ledger: Any,
    state: Any,
    make_miner: MakeMiner,
) -> ray.data.Dataset:
    """Build the pipeline; nothing runs yet. `is_alone`: no packet shares its worker with another.

    Returns
    -------
    Dataset
        Rows of `outcome.MINING_REPORT_SCHEMA`.
    """
    rows = listing.missing(ledger=ledger, state=state)
    # Ray would run a whole listing and all that is decoded from it in one task if nothing cut it here.
    rows = rows.repartition(target_num_rows_per_block=packet_clips)
    packets = map_tables(
        rows,
        decode_packets,
        cpus=DECODE_CPUS,
        rows_at_a_time=packet_clips,
        sample_rate=sample_rate,
        packet_clips=packet_clips,
        storage=request.storage,
        state=state,
    )
    return map_with_actors(
        packets,
        MinePackets,
        pool=pool,
        rows_at_a_time=1,
        is_alone=is_alone,
        request=request,
        sample_rate=sample_rate,
        threads=pool.threads,
        state=state,
        make_miner=make_miner,
    )


def blame_clips(rows: ray.data.Dataset, *, request: MiningRequest, reason: str) -> ray.data.Dataset:
    """Make rejects of clips, in the tasks that have their rows; gives rows of `outcome.MINING_REPORT_SCHEMA`."""
    return map_tables(rows, _blame, cpus=LISTING_CPUS, request=request, reason=reason)


def _blame(table: pa.Table, *, request: MiningRequest, reason: str) -> pa.Table:
    clips = table.filter(pa.compute.not_equal(table["row"], NO_ROW)).select(["row", "clip_id"]).to_pylist()
    if not clips:
        return MiningReport().to_table()
    rows = [clip["row"] for clip in clips]
    rejects = [Reject(clip_id=clip["clip_id"], reason="broken", found=reason) for clip in clips]
    try:
        commit_failed(rejects, output=request.output_store, name=packet_name(rows), rows=rows)
    except OutputError as error:
        return MiningReport(unfinished=len(clips), reason=error.reason).to_table()
    return MiningReport(failed=len(clips), failures=tuple(reason for _ in clips)).to_table()
