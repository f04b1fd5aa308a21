"""What a monitoring system sees of any worker: counters of Ray's metrics, which Prometheus scrapes on each node."""

from __future__ import annotations

import resource
from collections.abc import Mapping

from ray.util.metrics import Counter


def peak_memory_bytes() -> int:
    """Measure the most memory that this process has taken so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class WorkCounter:
    """A sum that a worker adds to; Ray puts `ray_` in front of its name.

    Parameters
    ----------
    name : str
        Between ``uss_ray_`` and ``_total``.
    description : str
        What is counted, for whoever reads the metrics.
    pipeline : str
        Value of the label `pipeline`: which kind of job counts.
    label : str or None, default=None
        What the sum is split by.
    """

    def __init__(self, name: str, description: str, *, pipeline: str, label: str | None = None) -> None:
        labels = ("pipeline",) if label is None else ("pipeline", label)
        self._label = label
        self._counter = Counter(f"uss_ray_{name}_total", description, labels)
        self._counter.set_default_tags({"pipeline": pipeline})

    def add(self, value: float, labelled: str = "") -> None:
        """Add to the sum, or to the one of a value of the label; 0 adds nothing, not even the label."""
        if value > 0:
            self._counter.inc(value, {} if self._label is None else {self._label: labelled})


class WorkMetrics:
    """What every pipeline counts: sound and busy time.

    Parameters
    ----------
    pipeline : str
        Which kind of job counts.
    """

    def __init__(self, pipeline: str) -> None:
        self._audio = WorkCounter("audio_seconds", "Length of the sound that is done", pipeline=pipeline)
        self._stages = WorkCounter(
            "stage_seconds", "Busy time of the stages", pipeline=pipeline, label="stage"
        )

    def count(self, *, audio_seconds: float, stage_seconds: Mapping[str, float]) -> None:
        """Add what became of a packet.

        Parameters
        ----------
        audio_seconds : float
            Length of the sound that is done.
        stage_seconds : mapping of str to float
            Busy time by stage.
        """
        self._audio.add(audio_seconds)
        for stage, seconds in stage_seconds.items():
            self._stages.add(seconds, stage)
