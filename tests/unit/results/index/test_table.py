"""The Parquet index."""

from __future__ import annotations

import dataclasses
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
from uss_ray.results.index.table import (
    INDEX_SCHEMA,
    ActiveSpan,
    IndexRow,
    RecordingFacts,
    RunFacts,
    Span,
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


def a_span_with_a_file() -> ActiveSpan:
    return ActiveSpan(
        start_seconds=0.0,
        end_seconds=1.0,
        stem_uri="a.flac",
        stem_sha256="0",
        stem_bytes=1,
        stem_start_frame=0,
    )


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


def a_row_of_spans(**changes: Any) -> IndexRow:
    spans = tuple(
        ActiveSpan(
            start_seconds=start,
            end_seconds=start + 2.0,
            stem_uri=f"a b.wav/level-3/dog__m_0bt9lr/{start - 0.125:010.3f}.flac",
            stem_sha256="ef" * 32,
            stem_bytes=100,
            stem_start_frame=round((start - 0.125) * 48000),
        )
        for start in (2.0, 8.0)
    )
    whole = dict.fromkeys(("stem_uri", "stem_sha256", "stem_bytes"))
    return a_row(**(whole | {"active_spans": spans} | changes))


def test_files_of_spans_come_back_as_they_were_written(tmp_path: Path) -> None:
    quiet = ActiveSpan(start_seconds=20.0, end_seconds=22.0)
    row = a_row_of_spans()
    heard = (Span(start_seconds=2.25, end_seconds=2.5),)
    row = a_row_of_spans(active_spans=(*row.active_spans, quiet), detected_spans=heard)
    write_index([row], path=tmp_path / "index" / "a.parquet")
    (found,) = (IndexRow.from_record(record) for record in read_index(tmp_path).to_pylist())
    assert found == row
    assert (found.stem_files, found.written_bytes, found.active_seconds) == (2, 200, 0.25)
    first = found.active_spans[0]
    again = dataclasses.replace(first, start_seconds=first.end_seconds, end_seconds=first.end_seconds + 0.1)
    shared = dataclasses.replace(found, active_spans=(first, again))
    assert (shared.stem_files, shared.written_bytes) == (1, first.stem_bytes), "two spans within one file"


def test_what_was_only_detected_has_a_status_of_its_own(tmp_path: Path) -> None:
    none = dict.fromkeys(("stem_uri", "stem_sha256", "stem_bytes", "level_db", "peak_db", "format"))
    row = a_row(status="detected", **none)
    write_index([row], path=tmp_path / "index" / "a.parquet")
    assert read_index(tmp_path)["status"].to_pylist() == ["detected"]
    assert (row.stem_files, row.active_seconds) == (0, 3.5)


def test_an_index_of_the_first_version_is_read_beside_one_of_this(root: Path) -> None:
    span = pa.struct([pa.field(f"{edge}_seconds", pa.float64(), False) for edge in ("start", "end")])
    first = pa.schema(
        [
            pa.field(field.name, pa.list_(span), False) if field.name == "active_spans" else field
            for field in INDEX_SCHEMA
        ],
        metadata={b"uss_ray.index_version": b"1"},
    )
    records = [row.to_record() for row in (a_row(recording_id="old.wav"), an_absent_row())]
    for record in records:
        record["active_spans"] = [
            {name: found[name] for name in ("start_seconds", "end_seconds")}
            for found in record["active_spans"]
        ]
    pq.write_table(pa.Table.from_pylist(records, schema=first), root / "index" / "old.parquet")
    table = read_index(root)
    assert table.schema.equals(INDEX_SCHEMA, check_metadata=True)
    rows = [IndexRow.from_record(record) for record in table.to_pylist()]
    assert rows[:2] == [a_row(recording_id="old.wav"), an_absent_row()]
    assert len(rows) == 5


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
            lambda table: table.replace_schema_metadata({b"uss_ray.index_version": b"6"}),
            "expected index version 1 or 2 or 3 or 4 or 5, found version 6",
        ),
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
        ({"status": "detected"}, "stem_uri"),
        ({"stem_bytes": None}, "checksum and size"),
        (
            {"active_spans": (ActiveSpan(start_seconds=0.0, end_seconds=1.0, stem_uri="a.flac"),)},
            "span from 0.0 s",
        ),
        (
            {"active_spans": (a_span_with_a_file(),)},
            "whole stem or those of its spans",
        ),
        ({"status": "failed"}, "reason"),
        ({"probability": 1.5}, "probability"),
        ({"stem_probability": -0.5}, "stem_probability"),
        ({"certainty": "certain"}, "certainty"),
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


def test_the_schema_is_the_one_of_version_5_to_the_last_byte() -> None:
    """Rows of this run must still be read by later programs."""
    span = pa.struct(
        [
            pa.field("start_seconds", pa.float64(), False),
            pa.field("end_seconds", pa.float64(), False),
            pa.field("stem_uri", pa.string()),
            pa.field("stem_sha256", pa.string()),
            pa.field("stem_bytes", pa.int64()),
            pa.field("stem_start_frame", pa.int64()),
        ]
    )
    columns: list[tuple[str, pa.DataType, bool]] = [
        ("run_id", pa.string(), False),
        ("recording_id", pa.string(), False),
        ("recording_uri", pa.string(), False),
        ("recording_sha256", pa.string(), True),
        ("recording_content", pa.string(), True),
        ("node_id", pa.string(), False),
        ("label", pa.string(), False),
        ("level", pa.int16(), True),
        ("kind", pa.string(), False),
        ("status", pa.string(), False),
        ("reason", pa.string(), True),
        ("probability", pa.float32(), True),
        ("certainty", pa.string(), True),
        ("stem_probability", pa.float32(), True),
        ("active_spans", pa.list_(span), False),
        ("active_seconds", pa.float64(), False),
        ("detected_spans", pa.list_(pa.struct([span["start_seconds"], span["end_seconds"]])), True),
        ("level_db", pa.float32(), True),
        ("peak_db", pa.float32(), True),
        ("stem_uri", pa.string(), True),
        ("stem_sha256", pa.string(), True),
        ("stem_bytes", pa.int64(), True),
        ("clipped_samples", pa.int64(), True),
        ("sample_rate", pa.int32(), True),
        ("channels", pa.int16(), True),
        ("frames", pa.int64(), True),
        ("format", pa.string(), True),
        ("weights_name", pa.string(), False),
        ("weights_sha256", pa.string(), False),
        ("settings", pa.string(), False),
        ("processing_seconds", pa.float64(), True),
        ("created_at", pa.timestamp("us", tz="UTC"), False),
    ]
    version_5 = pa.schema(
        [pa.field(*column) for column in columns], metadata={b"uss_ray.index_version": b"5"}
    )
    assert INDEX_SCHEMA.serialize().equals(version_5.serialize())


def test_a_part_of_version_3_is_read_with_nothing_known_of_certainty(tmp_path: Path) -> None:
    table = to_table([a_row(certainty="sure", stem_probability=0.5)])
    table = table.drop_columns(["certainty", "stem_probability"])
    (tmp_path / "index").mkdir()
    older = table.replace_schema_metadata({b"uss_ray.index_version": b"3"})
    pq.write_table(older, tmp_path / "index" / "a.parquet")
    [row] = read_index(tmp_path).to_pylist()
    assert (row["certainty"], row["stem_probability"]) == (None, None)


def test_a_part_of_version_2_is_read_with_nothing_known_of_the_content(tmp_path: Path) -> None:
    table = to_table([a_row(recording_content="5 bytes")]).drop_columns(["recording_content"])
    (tmp_path / "index").mkdir()
    table = table.replace_schema_metadata({b"uss_ray.index_version": b"2"})
    pq.write_table(table, tmp_path / "index" / "a.parquet")
    assert read_index(tmp_path)["recording_content"].to_pylist() == [None]


def test_a_part_of_version_4_is_read_and_its_spans_are_where_a_sound_was_detected(tmp_path: Path) -> None:
    table = to_table([a_row_of_spans()]).drop_columns(["detected_spans"])
    (tmp_path / "index").mkdir()
    pq.write_table(
        table.replace_schema_metadata({b"uss_ray.index_version": b"4"}), tmp_path / "index" / "a.parquet"
    )
    (found,) = (IndexRow.from_record(record) for record in read_index(tmp_path).to_pylist())
    assert (found.detected_spans, found.heard_spans) == (None, found.active_spans)
