"""Poison clips become rejects."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from uss_ray.errors import OutputError
from uss_ray.pipelines.mining import quarantine
from uss_ray.pipelines.mining.clips import CLIP_SCHEMA, NO_ROW
from uss_ray.pipelines.mining.outcome import MiningReport
from uss_ray.pipelines.mining.quarantine import CLIP_COLUMNS, quarantine_clips, without_containers
from uss_ray.store.store import Store


def clips(*rows):
    return [{"row": row, "clip_id": f"clip{row}", "content_tag": None} for row in rows]


def test_each_clip_is_committed_with_the_reason(tmp_path):
    report = quarantine_clips(clips(3, 5), output=Store(tmp_path), reason="it kills")
    assert (report.failed, report.failures) == (2, ("it kills", "it kills"))
    (file,) = (tmp_path / "rejects").glob("*.parquet")
    rows = pq.read_table(file).to_pylist()
    assert [(row["clip_id"], row["reason"], row["found"]) for row in rows] == [
        ("clip3", "broken", "it kills"),
        ("clip5", "broken", "it kills"),
    ]


def test_a_broken_container_is_no_clip(tmp_path):
    table = pa.Table.from_pylist(clips(3, NO_ROW))
    assert without_containers(table).to_pylist() == clips(3)
    assert quarantine_clips([], output=Store(tmp_path), reason="") == MiningReport()
    assert list(tmp_path.iterdir()) == []


def test_clips_that_cannot_be_committed_stay_unfinished(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OutputError("out", expected="room", found="none")

    monkeypatch.setattr(quarantine, "commit_failed", refuse)
    report = quarantine_clips(clips(3), output=Store(tmp_path), reason="it kills")
    assert (report.failed, report.unfinished, report.reason) == (0, 1, "out: expected room, found none")


def test_they_are_known_by_columns_that_clips_have():
    assert set(CLIP_COLUMNS) <= set(CLIP_SCHEMA.names)
