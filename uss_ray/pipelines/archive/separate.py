"""The warm worker: loads the weights once, then separates packets; writes and uploads beside, index rows last."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from uss_ray.api.block_queue import BlockQueue, MachineError
from uss_ray.api.publisher import Publisher
from uss_ray.api.request import SeparationRequest
from uss_ray.api.separator import RecordingSeparator
from uss_ray.api.staging import sweep_staging
from uss_ray.audio.spec import AudioSpec
from uss_ray.audio.tags import RecordingTags
from uss_ray.errors import OutputError, UssRayError
from uss_ray.pipelines.archive.ledger import FAILED_PREFIX
from uss_ray.pipelines.archive.metrics import ArchiveMetrics
from uss_ray.pipelines.archive.outcome import (
    Outcome,
    OutcomeStatus,
    PacketReport,
    failed_outcome,
    separated_outcome,
)
from uss_ray.pipelines.archive.packets import Sounding, Unit, packets_of
from uss_ray.pipelines.runtime.metrics import peak_memory_bytes
from uss_ray.pipelines.runtime.retry import STOPPED_REASON
from uss_ray.pipelines.runtime.run_state import StopSign
from uss_ray.results.index.rows import RecordingRows
from uss_ray.results.index.table import IndexRow
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.memory import keep_freed_memory
from uss_ray.separation.mixture import PartSource, Source
from uss_ray.separation.scheduler import Session, SessionEnd
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.windows import Span
from uss_ray.store.faults import is_infrastructure
from uss_ray.wording import plain

logger = logging.getLogger(__name__)


class Separator(Protocol):
    """What a worker needs; `RecordingSeparator` has it."""

    @property
    def engine(self) -> SeparationEngine: ...  # noqa: D102
    @property
    def publisher(self) -> Publisher: ...  # noqa: D102
    def open_session(self, source: Source, *, span: Span | None = None) -> Session[EstimateBlock]: ...  # noqa: D102


MakeSeparator = Callable[..., Separator]


_Written = tuple[Outcome, RecordingRows | None, float]
"""What became of a unit, its rows for the index if it is a recording, and the time that writing took."""


@dataclass
class _Writing:
    """A unit on its way to its files."""

    blocks: BlockQueue
    written: Future[_Written]


class SeparatePackets:
    """The actor of the archive's pipeline.

    Parameters
    ----------
    request : SeparationRequest
        What to do with each recording.
    threads : int
        CPU threads of the networks; the last bit of a sample may depend on it.
    scratch : Path
        Staging folder of the job.
    state : actor handle
        Of `runtime.run_state`.
    make_separator : callable
        `RecordingSeparator`, unless a benchmark takes another.
    """

    def __init__(
        self,
        request: SeparationRequest,
        threads: int,
        scratch: Path,
        state: Any,
        make_separator: MakeSeparator = RecordingSeparator,
    ) -> None:
        if (
            request.output_store.is_remote
        ):  # a worker that was killed before left something on its own machine
            sweep_staging(request.output_store)
        torch.set_num_threads(threads)
        keep_freed_memory()
        self._separator = make_separator(request, scratch=scratch)
        self._scheduler = self._separator.engine.scheduler()
        self._stop = StopSign(state)
        self._metrics = ArchiveMetrics()
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        # What is loaded by now stays; a collection need not walk through it, and there are many of them.
        gc.freeze()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Give one row of `PACKET_REPORT_SCHEMA` for each packet that comes in, in order."""
        for packet in packets_of(batch):
            report = self._separate(packet)
            self._metrics.count(report)
            yield report.to_table()

    def _separate(self, packet: Sequence[Sounding]) -> PacketReport:
        outcomes = [_known(unit) for unit, _ in packet if unit.status != "sound"]
        sounding = [pair for pair in packet if pair[0].status == "sound"]
        results, separate_seconds = self._separate_side_by_side(sounding) if sounding else ([], 0.0)
        outcomes += [outcome for outcome, _, _ in results]
        recordings = [rows for _, rows, _ in results if rows is not None]
        return PacketReport(
            outcomes=tuple(self._commit(outcomes, recordings)),
            worker=self._worker,
            decode_seconds=sum(unit.decode_seconds for unit, _ in packet),
            separate_seconds=separate_seconds,
            write_seconds=sum(seconds for _, _, seconds in results),
            peak_bytes=peak_memory_bytes(),
            decode_peak_bytes=max((unit.decode_peak_bytes for unit, _ in packet), default=0),
        )

    def _separate_side_by_side(self, sounding: Sequence[Sounding]) -> tuple[list[_Written], float]:
        """Give what became of each unit, and the time that separating took."""
        with ThreadPoolExecutor(len(sounding), thread_name_prefix="write") as pool:
            writings, seconds = self._feed(sounding, pool)
            if not writings:
                stopped = [_not_done(unit, reason=STOPPED_REASON, is_at_fault=False) for unit, _ in sounding]
                return [(outcome, None, 0.0) for outcome in stopped], 0.0
            return [writing.written.result() for writing in writings], seconds

    def _feed(self, sounding: Sequence[Sounding], pool: ThreadPoolExecutor) -> tuple[list[_Writing], float]:
        """Separate units side by side, each into the hands of a thread that writes it; none if the job stops."""
        if self._stop:
            return [], 0.0
        began = time.monotonic()
        sessions = [self._open(unit, waveform) for unit, waveform in sounding]
        writings = [self._begin_writing(unit, pool=pool, began=began) for unit, _ in sounding]
        queues = {
            self._scheduler.submit(session): writing.blocks
            for session, writing in zip(sessions, writings, strict=True)
        }
        try:
            while len(self._scheduler):
                for ticket, block in self._scheduler.step():
                    is_read = queues[ticket].put(block.error if isinstance(block, SessionEnd) else block)
                    if not is_read:
                        self._scheduler.cancel(ticket)
        except Exception as error:
            # Not one recording's fault, such as memory that has run out: all of them are tried again later.
            logger.exception("a packet of %d units could not be separated", len(sounding))
            for blocks in queues.values():
                blocks.put(MachineError(error))
        waited = sum(blocks.full_seconds for blocks in queues.values())
        return writings, time.monotonic() - began - waited

    def _begin_writing(self, unit: Unit, *, pool: ThreadPoolExecutor, began: float) -> _Writing:
        blocks = BlockQueue()
        return _Writing(blocks, pool.submit(self._write, unit, blocks, began))

    def _open(self, unit: Unit, waveform: NDArray[np.float32]) -> Session[EstimateBlock]:
        source = PartSource(
            waveform,
            sample_rate=unit.sample_rate,
            start_frame=unit.start_frame,
            ends_recording=unit.ends_recording,
        )
        span = None if unit.first_segment is None else Span(unit.first_segment, unit.last_segment)
        return self._separator.open_session(source, span=span)

    def _write(self, unit: Unit, blocks: BlockQueue, began: float) -> _Written:
        started = time.monotonic()
        publisher, recording = self._separator.publisher, unit.recording
        spec = AudioSpec(
            unit.sample_rate,
            unit.channels,
            unit.frames,
            unit.format,
            unit.subtype,
            decoder=unit.decoder,
            note=unit.note,
            tags=RecordingTags.from_text(unit.tags),
        )
        rows: RecordingRows | None = None
        try:
            if unit.part is None:
                rows = publisher.publish(blocks, recording=recording, spec=spec, started=began)
                outcome = separated_outcome(recording, rows)
            else:
                publisher.publish_part(blocks, recording=recording, spec=spec, part=unit.part)
                outcome = _known(unit)
        except (UssRayError, MachineError) as error:
            outcome = _fault(unit, error)
        except Exception as error:
            logger.exception("%s: unexpected error", plain(unit.recording_uri))
            outcome = _fault(unit, error)
        finally:
            blocks.abandon()
        return outcome, rows, time.monotonic() - started - blocks.empty_seconds

    def _commit(self, outcomes: Sequence[Outcome], recordings: Sequence[RecordingRows]) -> list[Outcome]:
        """Put what has become of the recordings into the index; what cannot be told there is not done yet."""
        publisher = self._separator.publisher
        failed = [outcome for outcome in outcomes if outcome.status == "failed"]
        failed_rows = [
            publisher.failed(outcome.recording, reason=outcome.reason or "unknown") for outcome in failed
        ]
        try:
            if recordings:
                name = _part_of_index([rows.common for rows in recordings])
                publisher.commit_recordings(recordings, name=name)
            if failed_rows:
                publisher.commit_failed(failed_rows, name=FAILED_PREFIX + _part_of_index(failed_rows))
        except OutputError as error:
            return [
                failed_outcome(outcome.recording, reason=error.reason, status="unfinished", part=outcome.part)
                if outcome.status in ("separated", "failed")
                else outcome
                for outcome in outcomes
            ]
        return list(outcomes)


def _known(unit: Unit) -> Outcome:
    """Say of a unit what was known before it could be separated, or of a span that it is done."""
    if unit.status in ("failed", "unfinished"):
        return _not_done(unit, reason=unit.reason or "unknown", is_at_fault=unit.status == "failed")
    return Outcome(
        recording_id=unit.recording_id,
        recording_uri=unit.recording_uri,
        content_tag=unit.content_tag,
        status="part",
        part=unit.part,
        parts=(unit.part or 0) + 1 if unit.is_last else None,
    )


def _fault(unit: Unit, error: Exception) -> Outcome:
    """Say of a unit what went wrong, and whether the recording is at fault."""
    if isinstance(error, MachineError):
        return _not_done(unit, reason=f"{type(error.args[0]).__name__}: {error.args[0]}", is_at_fault=False)
    if isinstance(error, UssRayError):
        is_at_fault = not (isinstance(error, OutputError) or is_infrastructure(error))
        return _not_done(unit, reason=error.reason, is_at_fault=is_at_fault)
    reason = f"unexpected {type(error).__name__}: {error}"
    return _not_done(unit, reason=reason, is_at_fault=not is_infrastructure(error))


def _not_done(unit: Unit, *, reason: str, is_at_fault: bool) -> Outcome:
    status: OutcomeStatus = "failed" if is_at_fault else "unfinished"
    return failed_outcome(unit.recording, reason=reason, status=status, part=unit.part)


def _part_of_index(rows: Sequence[IndexRow]) -> str:
    """Name a part of the index by the recordings in it, so that a worker that repeats a packet replaces it."""
    names = sorted({row.recording_id for row in rows})
    return hashlib.blake2b("\n".join(names).encode(), digest_size=8).hexdigest()
