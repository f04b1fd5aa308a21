"""What the driver remembers of a run: sums, and a few examples; never a list of all recordings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from uss_ray.pipelines.archive.outcome import Outcome, PacketReport
from uss_ray.results.index.failures import FailureTally

_EXAMPLES = 60


@dataclass
class StageTime:
    """Busy time of a stage and the workers that were seen at it."""

    seconds: float = 0.0
    peak_bytes: int = 0


@dataclass
class Tally:
    """Sums of a run, as its outcomes come in.

    Attributes
    ----------
    counts : Counter of str
        Recordings by status; spans of long recordings under `part`.
    stems : Counter of str
        Stems by status.
    audio_seconds, stem_bytes : float, int
        Of what was separated.
    failures : FailureTally
        By kind of reason.
    examples, failed_examples : list of Outcome
        The first few, for whoever looks at the result.
    last_unfinished : str or None
        The last reason for which a recording was not finished.
    """

    counts: Counter[str] = field(default_factory=Counter)
    stems: Counter[str] = field(default_factory=Counter)
    audio_seconds: float = 0.0
    processing_seconds: float = 0.0
    stem_bytes: int = 0
    failures: FailureTally = field(default_factory=FailureTally)
    examples: list[Outcome] = field(default_factory=list)
    failed_examples: list[Outcome] = field(default_factory=list)
    last_unfinished: str | None = None
    stages: dict[str, StageTime] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)

    @property
    def finished(self) -> int:
        """Recordings that are done for good: separated or failed."""
        return self.counts["separated"] + self.counts["failed"]

    @property
    def failed_fraction(self) -> float:
        """Share of the finished recordings that failed."""
        return self.counts["failed"] / self.finished if self.finished else 0.0

    def add(self, outcome: Outcome) -> None:
        """Count what became of a recording."""
        self.counts[outcome.status] += 1
        if outcome.status == "failed":
            self.failures.add(outcome.reason or "unknown")
            if len(self.failed_examples) < _EXAMPLES:
                self.failed_examples.append(outcome)
            return
        if outcome.status == "unfinished":
            self.last_unfinished = outcome.reason
            return
        self.audio_seconds += outcome.seconds
        self.stem_bytes += outcome.stem_bytes
        for status in ("written", "silent", "absent", "detected"):
            self.stems[status] += getattr(outcome, status)
        if len(self.examples) < _EXAMPLES:
            self.examples.append(outcome)

    def add_times(self, report: PacketReport) -> None:
        """Count what a packet took."""
        for stage in ("decode", "separate", "write"):
            self.stages.setdefault(stage, StageTime()).seconds += getattr(report, f"{stage}_seconds")
        self.workers[report.worker] = max(self.workers.get(report.worker, 0), report.peak_bytes)
