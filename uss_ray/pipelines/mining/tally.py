"""What the driver remembers of a mining run: sums; never a list of clips."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from uss_ray.pipelines.mining.outcome import MiningReport
from uss_ray.results.index.failures import FailureTally

_MOST_CONTAINERS = 1000
STAGES = ("decode", "mine", "write")


@dataclass
class MiningTally:
    """Sums of a run, as its reports come in.

    Attributes
    ----------
    counts : Counter of str
        Clips: `mined`, `failed`, `unfinished`.
    anchors, anchor_bytes : int
    audio_seconds : float
        Length of the clips that were mined.
    stage_seconds : Counter of str
        Busy time by stage.
    failures : FailureTally
        By kind of reason.
    containers : dict of str to None
        Broken containers with their reasons, each once, the first thousand.
    last_unfinished : str or None
        The last reason for which clips were not finished.
    workers : dict of str to int
        Most memory of each worker, in bytes.
    """

    counts: Counter[str] = field(default_factory=Counter)
    anchors: int = 0
    anchor_bytes: int = 0
    audio_seconds: float = 0.0
    stage_seconds: Counter[str] = field(default_factory=Counter)
    failures: FailureTally = field(default_factory=FailureTally)
    containers: dict[str, None] = field(default_factory=dict)
    last_unfinished: str | None = None
    workers: dict[str, int] = field(default_factory=dict)

    @property
    def finished(self) -> int:
        """Clips that are done for good: mined or failed."""
        return self.counts["mined"] + self.counts["failed"]

    @property
    def failed_fraction(self) -> float:
        """Share of the finished clips that failed."""
        return self.counts["failed"] / self.finished if self.finished else 0.0

    def add(self, report: MiningReport) -> None:
        """Count what became of a packet."""
        for status in ("mined", "failed", "unfinished"):
            self.counts[status] += getattr(report, status)
        self.anchors += report.anchors
        self.anchor_bytes += report.anchor_bytes
        self.audio_seconds += report.audio_seconds
        for stage in STAGES:
            self.stage_seconds[stage] += getattr(report, f"{stage}_seconds")
        for failure in report.failures:
            self.failures.add(failure)
        for container in report.containers:
            if len(self.containers) < _MOST_CONTAINERS:
                self.containers[container] = None
        if report.reason is not None:
            self.last_unfinished = report.reason
        if report.worker:
            self.workers[report.worker] = max(self.workers.get(report.worker, 0), report.peak_bytes)

    def add_missing(self, count: int) -> None:
        """Count clips that no container held."""
        self.counts["failed"] += count
        self.counts["missing"] += count
        if count:
            self.failures.add("clip: expected audio of that name, found none", count=count)
