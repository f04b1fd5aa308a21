"""The Parquet index."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from uss_ray.errors import DataError, OutputError
from uss_ray.results.index import (
    INDEX_SCHEMA,
    ActiveSpan,
    IndexRow,
    RecordingFacts,
    RunFacts,
    failed_row,
    read_index,
    to_table,
    write_index,
)


def a_row(**changes: Any) -> IndexRow:
    values: dict[str, Any] = {
        "run_id": "run 1",
        "recording_id": "a b.wav",
        "recording_uri": "s3://bucket/a b.wav",
        "node_id": "/m/0bt9lr",
        "label": "Dog",
        "level": 3,
        "kind": "node",
        "status": "written",
        "probability": 0.75,
        "active_spans": (
            ActiveSpan(start_seconds=0.0, end_seconds=2.0),
            ActiveSpan(start_seconds=4.0, end_seconds=5.5),
        ),
        "level_db": -21.5,
        "peak_db": -3.0,
        "stem_uri": "a b.wav/level-3/dog__m_0bt9lr.flac",
        "stem_sha256": "ab" * 32,
        "stem_bytes": 1234,
        "sample_rate": 48000,
        "channels": 2,
        "frames": 480000,
        "format": "FLAC/PCM_24",
        "weights_name": "starter",
        "weights_sha256": "cd" * 32,
        "settings": '{"threshold": 0.2}',
        "created_at": datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
    }
    return IndexRow(**(values | changes))


def an_absent_row() -> IndexRow:
    none = dict.fromkeys(("stem_uri", "stem_sha256", "stem_bytes", "level_db", "peak_db", "format"))
    return a_row(node_id="/m/01yrx", label="Cat", status="absent", active_spans=(), probability=0.125, **none)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_index([a_row(), an_absent_row()], path=tmp_path / "index" / "part-0.parquet")
    facts = RecordingFacts(recording_id="c.wav", recording_uri="c.wav")
    run = RunFacts(run_id="run 1", weights_name="starter", weights_sha256="cd" * 32)
    write_index(
        [failed_row(facts, run=run, reason="c.wav: broken\nbadly")], path=tmp_path / "index/part-1.parquet"
    )
    (tmp_path / "index" / "_SUCCESS").touch()
    (tmp_path / "index" / "part-2.parquet").touch()
    return tmp_path


def test_rows_come_back_as_they_were_written(root: Path) -> None:
    rows = [IndexRow.from_record(record) for record in read_index(root).to_pylist()]
    assert [row.status for row in rows] == ["written", "absent", "failed"]
    assert rows[:2] == [a_row(), an_absent_row()]
    assert rows[2].node_id == ""
    assert rows[2].reason == "c.wav: broken badly"


def test_pandas_duckdb_and_pyarrow_read_the_same(root: Path) -> None:
    part = root / "index" / "part-0.parquet"
    frame = pd.read_parquet(part)
    assert frame["label"].tolist() == ["Dog", "Cat"]
    assert frame["active_spans"][0][1]["end_seconds"] == 5.5
    query = "SELECT label, active_seconds, active_spans[1].end_seconds FROM read_parquet(?) WHERE status = 'written'"
    assert duckdb.execute(query, [str(part)]).fetchall() == [("Dog", 3.5, 2.0)]
    assert pq.read_table(part).schema.equals(INDEX_SCHEMA, check_metadata=False)


def test_a_root_without_an_index_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=tmp_path.name):
        read_index(tmp_path)


def test_a_part_that_is_not_parquet_is_an_error_that_names_it(root: Path) -> None:
    (root / "index" / "part-9.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match=r"part-9\.parquet: expected a Parquet file"):
        read_index(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["status"]), "missing \\['status'\\]"),
        (lambda table: table.append_column("mood", pa.array(["x", "y"])), "extra \\['mood'\\]"),
        (lambda table: table.replace_schema_metadata({}), "version none"),
        (
            lambda table: table.set_column(
                table.schema.get_field_index("status"),
                pa.field("status", pa.string(), False),
                pa.array(["lost", "absent"]),
            ),
            "lost",
        ),
        (
            lambda table: table.set_column(
                table.schema.get_field_index("level"), "level", pa.array(["two", "three"])
            ),
            "column types",
        ),
    ],
)
def test_a_part_of_another_schema_is_refused(root: Path, change: Any, message: str) -> None:
    pq.write_table(change(to_table([a_row(), an_absent_row()])), root / "index" / "part-9.parquet")
    with pytest.raises(DataError, match=message):
        read_index(root)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"status": "lost"}, "status"),
        ({"kind": "thing"}, "kind"),
        ({"stem_uri": None}, "stem_uri"),
        ({"status": "absent"}, "stem_uri"),
        ({"reason": "why"}, "reason"),
        ({"probability": 1.5}, "probability"),
        ({"level_db": float("-inf")}, "level_db"),
        ({"active_spans": (ActiveSpan(start_seconds=2.0, end_seconds=1.0),)}, "active_spans"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(DataError, match=field):
        a_row(**changes)


def test_an_index_that_cannot_be_written_leaves_nothing_and_says_where(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match="part"):
        write_index([a_row()], path=tmp_path / "index" / "part.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]


def test_a_file_name_in_no_encoding_can_be_indexed(tmp_path: Path) -> None:
    write_index([a_row(recording_uri=os.fsdecode(b"caf\xe9.wav"))], path=tmp_path / "index" / "a.parquet")
    assert read_index(tmp_path)["recording_uri"].to_pylist() == ["caf\\udce9.wav"]
