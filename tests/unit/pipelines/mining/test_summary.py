"""What `summary.json` says of a run of mining."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from uss_ray.pipelines.mining.settle import MiningTotals
from uss_ray.pipelines.mining.summary import MiningSummary
from uss_ray.results.run_summary import StageSummary

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SUMMARY = MiningSummary(
    run_id="1",
    segments=("a.csv",),
    audio="in",
    changed={"count": 0, "examples": []},
    output="out",
    weights_name="small",
    software_version="1",
    ray_version="2",
    started_at=NOW,
    ended_at=NOW,
    wall_seconds=1800.0,
    audio_hours=2.0,
    mined=900,
    failed=2,
    missing=1,
    unfinished=0,
    skipped=0,
    failed_before=0,
    anchors=1000,
    stages=(StageSummary(name="mine", workers=2, busy_seconds=1800.0),),
    failures={"cut off": 1},
    broken_containers=(),
    totals=MiningTotals(clips=902, failed=2, anchors=1000, classes=5, shards=3, shard_bytes=9, rejects={}),
)


def test_rates_follow_from_the_figures():
    assert SUMMARY.hours_per_hour == 4.0
    assert SUMMARY.clips_per_second == 0.5
    still = replace(SUMMARY, wall_seconds=0.0)
    assert (still.hours_per_hour, still.clips_per_second) == (0.0, 0.0)


def test_it_is_strict_json():
    told = json.loads(SUMMARY.to_json())
    assert told["hours_per_hour"] == 4.0
    assert told["stages"][0]["utilisation"] == 0.5
    assert told["started_at"] == "2026-01-02T00:00:00+00:00"
    assert told["totals"]["anchors"] == 1000


def test_a_run_that_was_stopped_before_it_counted_has_no_totals():
    assert json.loads(replace(SUMMARY, totals=None).to_json())["totals"] is None
