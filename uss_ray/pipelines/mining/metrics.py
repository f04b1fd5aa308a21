"""What a monitoring system sees of the workers of mining; the counters themselves are `runtime.metrics`'."""

from __future__ import annotations

from uss_ray.pipelines.mining.outcome import STAGES, MiningReport
from uss_ray.pipelines.runtime.metrics import WorkCounter, WorkMetrics

PIPELINE = "mining"
_STATUSES = ("mined", "failed", "unfinished")


class MiningMetrics:
    """Counters of one worker: clips by what became of them, sound, anchors, busy time."""

    def __init__(self) -> None:
        self._clips = WorkCounter("clips", "Clips, by what became of them", pipeline=PIPELINE, label="status")
        self._anchors = WorkCounter("anchors", "Anchors that were written", pipeline=PIPELINE)
        self._bytes = WorkCounter("anchor_bytes", "Size of the shards of anchors", pipeline=PIPELINE)
        self._work = WorkMetrics(PIPELINE)

    def count(self, report: MiningReport) -> None:
        """Add what became of a packet."""
        for status in _STATUSES:
            self._clips.add(getattr(report, status), status)
        self._anchors.add(report.anchors)
        self._bytes.add(report.anchor_bytes)
        self._work.count(
            audio_seconds=report.audio_seconds,
            stage_seconds={stage: getattr(report, f"{stage}_seconds") for stage in STAGES},
        )
