"""The archive's pipeline: list and drop what is done, decode, separate. Only thin rows reach the driver."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.data

from uss_ray.api.request import SeparationRequest
from uss_ray.pipelines.archive.decode import SpanPlan, decode_packets
from uss_ray.pipelines.archive.missing import missing_recordings
from uss_ray.pipelines.archive.packets import CPU_PACKET_SAMPLES, GPU_PACKET_SAMPLES, SPAN_SAMPLES
from uss_ray.pipelines.archive.separate import MakeSeparator, SeparatePackets
from uss_ray.pipelines.runtime.cluster import DECODE_CPUS, WorkerPool
from uss_ray.pipelines.runtime.source import TableReader
from uss_ray.pipelines.runtime.stages import map_tables, map_with_actors

_PACKET_UNITS = 16
_DECODE_ROWS = 64


@dataclass(frozen=True)
class Grain:
    """How much goes together: recordings that one task decodes, and units that are separated side by side."""

    decode_rows: int
    packet_units: int
    is_alone: bool = False

    @classmethod
    def of(cls, recordings: int | None, *, actors: int) -> Grain:
        """Choose; None for very many. A small archive is cut finely, so that each worker gets some."""
        if recordings is None:
            return cls(_DECODE_ROWS, _PACKET_UNITS)
        units = max(1, min(_PACKET_UNITS, recordings // (4 * actors)))
        return cls(units, units)

    @classmethod
    def alone(cls) -> Grain:
        """Each recording by itself, with no other in its worker."""
        return cls(1, 1, is_alone=True)


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
        span_samples=SPAN_SAMPLES,
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
        packet_samples=GPU_PACKET_SAMPLES if pool.gpus_per_actor else CPU_PACKET_SAMPLES,
        state=state,
    )
    return map_with_actors(
        packets,
        SeparatePackets,
        pool=pool,
        rows_at_a_time=1,
        is_alone=grain.is_alone,
        request=request,
        threads=pool.threads,
        scratch=scratch,
        state=state,
        make_separator=make_separator,
    )
