"""The figures at the end of an archive."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from uss_ray.errors import ConfigError
from uss_ray.results.run_summary import RecordingCounts, RunSummary, StageSummary


def a_summary(**changes: Any) -> RunSummary:
    start = datetime(2024, 2, 29, 12, tzinfo=UTC)
    values: dict[str, Any] = {
        "run_id": "run",
        "input": "s3://bucket/archive",
        "output": "s3://bucket/results",
        "software_version": "1.2.3",
        "ray_version": "2.60.0",
        "started_at": start,
        "ended_at": start + timedelta(seconds=1800),
        "wall_seconds": 1800.0,
        "audio_hours": 12.0,
        "recordings": RecordingCounts(separated=90, failed=3, unfinished=2, skipped=5),
        "stems": 400,
        "stem_bytes": 12_345,
        "stages": (
            StageSummary(name="decode", workers=4, busy_seconds=3600.0, peak_memory_bytes=10**9),
            StageSummary(name="separate", workers=0, busy_seconds=0.0),
        ),
        "failures": {"expected audio, found text": 3},
    }
    return RunSummary(**(values | changes))


def test_the_summary_says_every_field_and_what_follows_from_them() -> None:
    summary = a_summary()
    told = json.loads(summary.to_json())
    assert {field.name for field in dataclasses.fields(RunSummary)} < set(told)
    assert told["hours_per_hour"] == 24.0
    counts = {"separated": 90, "failed": 3, "unfinished": 2, "skipped": 5, "failed_before": 0}
    assert told["recordings"] == {"total": 100, **counts}
    assert told["stages"][0] == {
        "name": "decode",
        "workers": 4,
        "busy_seconds": 3600.0,
        "peak_memory_bytes": 10**9,
        "utilisation": 0.5,
    }
    assert told["stages"][1]["utilisation"] is None
    assert told["failures"] == {"expected audio, found text": 3}
    assert datetime.fromisoformat(told["ended_at"]) - datetime.fromisoformat(told["started_at"]) == timedelta(
        minutes=30
    )


def test_a_run_that_took_no_time_has_no_speed() -> None:
    assert json.loads(a_summary(wall_seconds=0.0).to_json())["hours_per_hour"] is None


@pytest.mark.parametrize("field", ["audio_hours", "wall_seconds", "stems", "stem_bytes"])
@pytest.mark.parametrize("value", [-1, float("nan")])
def test_figures_that_cannot_be_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        a_summary(**{field: value})


def test_counts_and_stages_below_zero_are_refused() -> None:
    with pytest.raises(ConfigError, match="failed"):
        RecordingCounts(failed=-1)
    with pytest.raises(ConfigError, match=r"decode, busy_seconds"):
        StageSummary(name="decode", workers=1, busy_seconds=-0.5)
