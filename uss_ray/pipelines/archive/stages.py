"""The archive's pipeline: list and drop what is done, decode, separate. Only thin rows reach the driver."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data

from uss_ray.pipelines.archive.decode import SpanPlan, decode_recording
from uss_ray.pipelines.archive.ledger import Ledger, done_parts, is_in
from uss_ray.pipelines.archive.packets import PacketBuilder, Unit
from uss_ray.pipelines.archive.separate import MakeSeparator, SeparatePackets
from uss_ray.pipelines.cluster.guarded import GuardedReader
from uss_ray.pipelines.cluster.run_state import is_stopping
from uss_ray.pipelines.cluster.runtime import DECODE_CPUS, LISTING_CPUS, WorkerPool
from uss_ray.pipelines.cluster.source import TableReader, read_tables
from uss_ray.pipelines.cluster.stages import map_tables, map_with_actors
from uss_ray.pipelines.publishing import parts_folder
from uss_ray.pipelines.recordings import RECORDING_SCHEMA, Recording
from uss_ray.pipelines.request import SeparationRequest

logger = logging.getLogger(__name__)

PACKET_SAMPLES = 1 << 24
"""Most sound that travels at once: 64 MiB, 174 s of 48 kHz stereo."""

_PACKET_UNITS = 16
_DECODE_ROWS = 64


@dataclass(frozen=True)
class Grain:
    """How much goes together: recordings that one task decodes, and units that are separated side by side."""

    decode_rows: int
    packet_units: int

    @classmethod
    def of(cls, recordings: int | None, *, actors: int) -> Grain:
        """Choose; None for very many. A small archive is cut finely, so that each worker gets some."""
        if recordings is None:
            return cls(_DECODE_ROWS, _PACKET_UNITS)
        units = max(1, min(_PACKET_UNITS, recordings // (4 * actors)))
        return cls(units, units)

    @classmethod
    def alone(cls) -> Grain:
        """Each recording by itself."""
        return cls(1, 1)


def packet_reports(
    readers: tuple[TableReader, ...],
    *,
    request: SeparationRequest,
    pool: WorkerPool,
    grain: Grain,
    context_seconds: int,
    ledger: Any,
    retry_failed: bool,
    state: Any,
    scratch: Path,
    make_separator: MakeSeparator,
) -> ray.data.Dataset:
    """Build the pipeline; nothing runs yet.

    Returns
    -------
    Dataset
        Rows of `outcome.PACKET_REPORT_SCHEMA`.
    """
    plan = SpanPlan(
        segment_seconds=request.settings.segment_seconds,
        context_seconds=context_seconds,
        span_seconds=request.span_seconds,
        span_samples=PACKET_SAMPLES,
    )
    rows = missing_recordings(readers, ledger=ledger, retry_failed=retry_failed, state=state)
    # Ray would run a whole listing and all that is decoded from it in one task if nothing cut it here.
    rows = rows.repartition(target_num_rows_per_block=grain.decode_rows)
    packets = map_tables(
        rows,
        decode_packets,
        cpus=DECODE_CPUS,
        rows_at_a_time=grain.decode_rows,
        request=request,
        plan=plan,
        packet_units=grain.packet_units,
        state=state,
    )
    return map_with_actors(
        packets,
        SeparatePackets,
        pool=pool,
        rows_at_a_time=1,
        request=request,
        threads=pool.threads,
        scratch=scratch,
        state=state,
        make_separator=make_separator,
    )


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


def decode_packets(
    table: pa.Table, *, request: SeparationRequest, plan: SpanPlan, packet_units: int, state: Any
) -> Iterator[pa.Table]:
    """Decode recordings; give tables of `packets.PACKET_SCHEMA`."""
    request.storage.apply()
    builder = PacketBuilder(most_units=packet_units, most_samples=PACKET_SAMPLES)
    for row in table.select(["recording_uri", "recording_id"]).to_pylist():
        recording = Recording(**row)
        if is_stopping(state):
            return
        try:
            for unit, waveform in decode_recording(
                recording,
                plan=plan,
                done_parts=lambda item: done_parts(request.output, folder=parts_folder(item)),
            ):
                yield from builder.add(unit, waveform)
                if unit.part is not None and is_stopping(state):
                    break
        except Exception as error:
            logger.exception("%s: unexpected error", recording.recording_uri)
            reason = f"unexpected {type(error).__name__}: {error}"
            unit = Unit(
                recording_id=recording.recording_id,
                recording_uri=recording.recording_uri,
                status="failed",
                reason=reason,
            )
            yield from builder.add(unit)
    yield from builder.flush()
