"""What a monitoring system sees of the workers: counters of Ray's metrics, which Prometheus scrapes on each node."""

from __future__ import annotations

from ray.util.metrics import Counter

from uss_ray.pipelines.archive.outcome import PacketReport


class ArchiveMetrics:
    """Counters of one worker; Ray puts `ray_` in front of their names."""

    def __init__(self) -> None:
        self._recordings = Counter(
            "uss_ray_recordings_total",
            "Recordings and spans of recordings, by what became of them",
            ("status",),
        )
        self._audio = Counter("uss_ray_audio_seconds_total", "Length of the recordings that were separated")
        self._stems = Counter("uss_ray_stems_total", "Stems that were written")
        self._bytes = Counter("uss_ray_stem_bytes_total", "Size of the stems that were written")
        self._stages = Counter("uss_ray_stage_seconds_total", "Busy time of the stages", ("stage",))

    def count(self, report: PacketReport) -> None:
        """Add what became of a packet."""
        for outcome in report.outcomes:
            self._recordings.inc(1.0, {"status": outcome.status})
            for counter, value in (
                (self._audio, outcome.seconds),
                (self._stems, outcome.written),
                (self._bytes, outcome.stem_bytes),
            ):
                if value > 0:
                    counter.inc(value)
        for stage in ("decode", "separate", "write"):
            seconds = getattr(report, f"{stage}_seconds")
            if seconds > 0:
                self._stages.inc(seconds, {"stage": stage})
