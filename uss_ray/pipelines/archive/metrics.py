"""What a monitoring system sees of the workers of an archive; the counters themselves are `runtime.metrics`'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from uss_ray.pipelines.archive.outcome import JOIN, Outcome, PacketReport
from uss_ray.pipelines.runtime.metrics import WorkCounter, WorkMetrics

PIPELINE = "archive"
_STAGES = ("decode", "separate", "write")


class ArchiveMetrics:
    """Counters of one worker: recordings and spans by what became of them, sound, stems, busy time."""

    def __init__(self) -> None:
        self._recordings = WorkCounter(
            "recordings",
            "Recordings and spans of recordings, by what became of them",
            pipeline=PIPELINE,
            label="status",
        )
        self._stems = WorkCounter("stems", "Stems that were written", pipeline=PIPELINE)
        self._bytes = WorkCounter("stem_bytes", "Size of the stems that were written", pipeline=PIPELINE)
        self._work = WorkMetrics(PIPELINE)

    def count_joined(self, outcome: Outcome) -> None:
        """Add what became of a long recording whose spans were joined."""
        self._count((outcome,), stage_seconds={JOIN: outcome.join_seconds})

    def count(self, report: PacketReport) -> None:
        """Add what became of a packet."""
        stage_seconds = {stage: getattr(report, f"{stage}_seconds") for stage in _STAGES}
        self._count(report.outcomes, stage_seconds=stage_seconds)

    def _count(self, outcomes: Sequence[Outcome], *, stage_seconds: Mapping[str, float]) -> None:
        for outcome in outcomes:
            self._recordings.add(1, outcome.status)
            self._stems.add(outcome.written)
            self._bytes.add(outcome.stem_bytes)
        self._work.count(
            audio_seconds=sum(outcome.seconds for outcome in outcomes), stage_seconds=stage_seconds
        )
