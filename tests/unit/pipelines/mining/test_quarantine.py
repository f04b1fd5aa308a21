"""Poison clips become rejects."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from uss_ray.errors import OutputError
from uss_ray.pipelines.mining import quarantine
from uss_ray.pipelines.mining.clips import CLIP_SCHEMA, NO_ROW
from uss_ray.pipelines.mining.outcome import MiningReport
from uss_ray.pipelines.mining.quarantine import quarantine_clips
from uss_ray.store.store import Store


def clips(*rows):
    values = {
        "start_seconds": 0.0,
        "end_seconds": 4.0,
        "class_indexes": [0],
        "location": "a.tar",
        "holds": "either",
    }
    records = [{**values, "row": row, "clip_id": f"clip{row}"} for row in rows]
    return pa.Table.from_pylist(records, schema=CLIP_SCHEMA)


def report_of(table):
    (record,) = table.to_pylist()
    return MiningReport.from_record(record)


def test_each_clip_is_committed_with_the_reason(tmp_path):
    report = report_of(quarantine_clips(clips(3, NO_ROW, 5), output=Store(tmp_path), reason="it kills"))
    assert (report.failed, report.failures) == (2, ("it kills", "it kills"))
    (file,) = (tmp_path / "rejects").glob("*.parquet")
    rows = pq.read_table(file).to_pylist()
    assert [(row["clip_id"], row["reason"], row["found"]) for row in rows] == [
        ("clip3", "broken", "it kills"),
        ("clip5", "broken", "it kills"),
    ]


def test_a_broken_container_is_no_clip(tmp_path):
    assert report_of(quarantine_clips(clips(NO_ROW), output=Store(tmp_path), reason="")) == MiningReport()
    assert list(tmp_path.iterdir()) == []


def test_clips_that_cannot_be_committed_stay_unfinished(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OutputError("out", expected="room", found="none")

    monkeypatch.setattr(quarantine, "commit_failed", refuse)
    report = report_of(quarantine_clips(clips(3), output=Store(tmp_path), reason="it kills"))
    assert (report.failed, report.unfinished, report.reason) == (0, 1, "out: expected room, found none")
