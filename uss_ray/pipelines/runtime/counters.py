"""What the driver remembers of a run: sums, never a list of items; and the exit code that follows. No Ray."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from uss_ray.results.index.failures import FailureTally
from uss_ray.results.run_summary import StageSummary

PARTLY_DONE = 8
NOTHING_DONE = 9


@dataclass(frozen=True, kw_only=True)
class Increment:
    """What a worker's report adds.

    Parameters
    ----------
    done, failed, unfinished : int, default=0
        Items: finished well, at fault themselves, or kept from being done by a store, a disk or a stop.
    failures : mapping of str to int, default={}
        Reasons of those that failed, with their numbers.
    unfinished_reason : str or None, default=None
        Why the last one is unfinished.
    skipped, failed_before : int, default=0
        Items that an earlier run has done, or that failed in one and are not tried again.
    got_done : bool or None, default=None
        Of a packet: whether anything of it got done; see `breaker`.
    audio_seconds : float, default=0.0
        Length of what is done.
    amounts : mapping of str to float, default={}
        What else the job sums up, such as bytes of stems.
    stage_seconds : mapping of str to float, default={}
        Busy time.
    worker : str, default=""
    peak_bytes : int, default=0
        Most memory of that worker so far.
    stage_peaks : mapping of str to int
        The same of whoever did a stage outside of the actors.
    """

    done: int = 0
    failed: int = 0
    unfinished: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    unfinished_reason: str | None = None
    skipped: int = 0
    failed_before: int = 0
    got_done: bool | None = None
    audio_seconds: float = 0.0
    amounts: Mapping[str, float] = field(default_factory=dict)
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    worker: str = ""
    peak_bytes: int = 0
    stage_peaks: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Counters:
    """Sums of a run.

    Attributes
    ----------
    done, failed, unfinished : int
        Items of this run; see `Increment`.
    skipped, failed_before : int
        Items of earlier runs; see `Increment`.
    workers : dict of str to int
        Most memory of each worker, in bytes.
    """

    done: int = 0
    failed: int = 0
    unfinished: int = 0
    skipped: int = 0
    failed_before: int = 0
    audio_seconds: float = 0.0
    amounts: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    failures: FailureTally = field(default_factory=FailureTally)
    unfinished_reason: str | None = None
    stage_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    stage_peaks: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    workers: dict[str, int] = field(default_factory=dict)

    @property
    def finished(self) -> int:
        """Items that are final: done or failed."""
        return self.done + self.failed

    @property
    def failed_fraction(self) -> float:
        """Share of what is final, of earlier runs too, that failed."""
        failed = self.failed + self.failed_before
        final = self.done + self.skipped + failed
        return failed / final if final else 0.0

    def add(self, increment: Increment) -> None:
        """Add a report."""
        self.done += increment.done
        self.failed += increment.failed
        self.unfinished += increment.unfinished
        self.skipped += increment.skipped
        self.failed_before += increment.failed_before
        self.audio_seconds += increment.audio_seconds
        for name, amount in increment.amounts.items():
            self.amounts[name] += amount
        for stage, seconds in increment.stage_seconds.items():
            self.stage_seconds[stage] += seconds
        for reason, count in increment.failures.items():
            self.failures.add(reason, count=count)
        if increment.unfinished_reason is not None:
            self.unfinished_reason = increment.unfinished_reason
        for stage, peak in increment.stage_peaks.items():
            self.stage_peaks[stage] = max(self.stage_peaks[stage], peak)
        if increment.worker:
            self.workers[increment.worker] = max(self.workers.get(increment.worker, 0), increment.peak_bytes)

    def forget_unfinished(self) -> None:
        """Take unfinished items back: another pass tries them again."""
        self.unfinished = 0

    def stage_summaries(self, workers: Mapping[str, int]) -> tuple[StageSummary, ...]:
        """Sum up the stages; most but the first run in the actors, whose memory is measured.

        Parameters
        ----------
        workers : mapping of str to int
            How many processes do each stage, in the order of the pipeline.
        """
        peak = max(self.workers.values(), default=None)
        first = next(iter(workers), None)
        return tuple(
            StageSummary(
                name=stage,
                workers=count,
                busy_seconds=self.stage_seconds[stage],
                peak_memory_bytes=self.stage_peaks[stage] or (None if stage == first else peak),
            )
            for stage, count in workers.items()
        )

    def exit_code(self, *, max_failed_fraction: float = 1.0, signal_number: int | None = None) -> int:
        """Tell how the output stands after a run: what failed in an earlier one counts until it is tried again.

        Parameters
        ----------
        max_failed_fraction : float, default=1.0
            Below 1, failures up to this share count as success.
        signal_number : int or None, default=None
            What stopped it.

        Returns
        -------
        int
            0 for success, 8 if some items are not done, 9 if none is, 128 + signal for a run that was stopped.
        """
        if signal_number is not None:
            return 128 + signal_number
        is_tolerable = max_failed_fraction < 1.0 and self.failed_fraction <= max_failed_fraction
        if not self.unfinished and (not self.failed + self.failed_before or is_tolerable):
            return 0
        return PARTLY_DONE if self.done or self.skipped else NOTHING_DONE
