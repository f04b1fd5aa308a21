from __future__ import annotations

import pytest

from tests.unit.pipelines.metrics_seen import watch_counters
from uss_ray.pipelines.runtime.metrics import WorkCounter, WorkMetrics


def test_sums_are_kept_by_the_values_of_the_label(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch_counters(monkeypatch)
    counter = WorkCounter("things", "Things", pipeline="archive", label="status")
    for value, status in ((1, "done"), (2, "done"), (4, "failed"), (0, "never")):
        counter.add(value, status)
    assert seen == {"uss_ray_things_total": {("archive", "done"): 3, ("archive", "failed"): 4}}


def test_every_pipeline_counts_sound_and_busy_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch_counters(monkeypatch)
    metrics = WorkMetrics("mining")
    metrics.count(audio_seconds=7.0, stage_seconds={"decode": 1.5, "mine": 0.0})
    metrics.count(audio_seconds=3.0, stage_seconds={"decode": 0.5})
    assert seen["uss_ray_audio_seconds_total"] == {("mining",): 10.0}
    assert seen["uss_ray_stage_seconds_total"] == {("mining", "decode"): 2.0}
