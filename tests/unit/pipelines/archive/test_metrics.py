from __future__ import annotations

import pytest

from tests.unit.pipelines.metrics_seen import watch_counters
from uss_ray.pipelines.archive.metrics import ArchiveMetrics
from uss_ray.pipelines.archive.outcome import Outcome, PacketReport


def test_a_packet_is_counted_by_what_became_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch_counters(monkeypatch)
    done = Outcome(
        recording_id="a", recording_uri="a", status="separated", seconds=7.0, written=3, stem_bytes=50
    )
    failed = Outcome(recording_id="b", recording_uri="b", status="failed")
    report = PacketReport(outcomes=(done, failed, failed), worker="w", decode_seconds=0.5, write_seconds=2.0)
    ArchiveMetrics().count(report)
    assert seen == {
        "uss_ray_recordings_total": {("archive", "separated"): 1, ("archive", "failed"): 2},
        "uss_ray_stems_total": {("archive",): 3},
        "uss_ray_stem_bytes_total": {("archive",): 50},
        "uss_ray_audio_seconds_total": {("archive",): 7.0},
        "uss_ray_stage_seconds_total": {("archive", "decode"): 0.5, ("archive", "write"): 2.0},
    }
