from __future__ import annotations

import pytest

from tests.unit.pipelines.metrics_seen import watch_counters
from uss_ray.pipelines.mining.metrics import MiningMetrics
from uss_ray.pipelines.mining.outcome import MiningReport


def test_packets_are_counted_by_what_became_of_their_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch_counters(monkeypatch)
    metrics = MiningMetrics()
    metrics.count(MiningReport(mined=60, failed=4, anchors=90, anchor_bytes=7, audio_seconds=600.0))
    metrics.count(MiningReport(mined=1, anchors=2, audio_seconds=10.0, mine_seconds=0.5))
    assert seen == {
        "uss_ray_clips_total": {("mining", "mined"): 61, ("mining", "failed"): 4},
        "uss_ray_anchors_total": {("mining",): 92},
        "uss_ray_anchor_bytes_total": {("mining",): 7},
        "uss_ray_audio_seconds_total": {("mining",): 610.0},
        "uss_ray_stage_seconds_total": {("mining", "mine"): 0.5},
    }
