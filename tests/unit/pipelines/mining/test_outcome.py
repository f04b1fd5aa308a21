"""What is told of a packet of clips."""

from __future__ import annotations

import pytest

from uss_ray.pipelines.mining.outcome import MiningReport

REPORT = MiningReport(
    mined=3,
    failed=2,
    anchors=5,
    anchor_bytes=700,
    audio_seconds=30.0,
    failures=("cut off", "cut off"),
    containers=("b.tar: cut off",),
    worker="host:1",
    decode_seconds=1.0,
    mine_seconds=2.0,
    write_seconds=3.0,
    peak_bytes=9,
)


def test_a_report_travels_as_a_row():
    (record,) = REPORT.to_table().to_pylist()
    assert MiningReport.from_record(record) == REPORT


def test_a_report_is_what_it_adds_to_the_counters():
    increment = REPORT.increment()
    assert (increment.done, increment.failed, increment.unfinished) == (3, 2, 0)
    assert increment.failures == {"cut off": 2}
    assert increment.amounts == {"anchors": 5, "anchor_bytes": 700}
    assert increment.stage_seconds == {"decode": 1.0, "mine": 2.0, "write": 3.0}


@pytest.mark.parametrize(
    ("report", "got_done"),
    [
        (MiningReport(mined=1, unfinished=3), True),
        (MiningReport(failed=1), True),
        (MiningReport(unfinished=3, reason="no room"), False),
        (MiningReport(containers=("b.tar: cut off",)), None),
    ],
)
def test_a_packet_without_clips_says_nothing_of_whether_anything_gets_done(report, got_done):
    assert report.increment().got_done is got_done
