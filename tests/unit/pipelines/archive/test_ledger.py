from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from uss_ray.pipelines.archive import ledger
from uss_ray.pipelines.archive.cleaning import OWNED, forget_done_parts
from uss_ray.pipelines.archive.ledger import (
    FAILED_PREFIX,
    done_parts,
    is_in,
    read_ledger,
    settle_duplicates,
    settle_failures,
    tally_of,
)
from uss_ray.records import recording_key
from uss_ray.results.index.table import (
    INDEX_SCHEMA,
    IndexRow,
    RecordingFacts,
    RunFacts,
    failed_row,
    is_current_version,
    read_index,
    write_index,
)
from uss_ray.results.layout import index_path
from uss_ray.results.stems.part_files import PartFacts
from uss_ray.store.store import Store

RUN = RunFacts(run_id="r", weights_name="w", weights_sha256="0")


@pytest.fixture
def put(output, tmp_path):
    def put(name, rows):
        write_index(rows, path=tmp_path / "part.parquet")
        (output / index_path(name)).put(tmp_path / "part.parquet")

    return put


def separated(name):
    return IndexRow(
        run_id="r", recording_id=name, recording_uri=name, node_id="n", label="Dog", level=1, kind="node",
        status="absent", weights_name="w", weights_sha256="0",
    )  # fmt: skip


def made(when, name, node):
    return replace(separated(name), created_at=when, node_id=node)


def part_of(content):
    facts = {"run_id": "r", "recording_id": "long.wav", "keys": ["dog"], "files": {}}
    numbers = dict.fromkeys(("sample_rate", "channels", "start_frame", "frames", "segments"), 1)
    return PartFacts(**facts, **numbers, recording_content=content).canonical_json().encode()


def failed(name, reason="broken"):
    return failed_row(RecordingFacts(recording_id=name, recording_uri=name), run=RUN, reason=reason)


def test_without_an_index_nothing_is_done(output):
    found = read_ledger(output)
    assert (len(found.separated), len(found.failed), len(found.known)) == (0, 0, 0)
    assert not is_in(np.array([1, 2]), found.separated).any()


def test_the_index_tells_what_is_done(output, put):
    put("one", [separated("a.wav"), separated("a.wav"), separated("b.wav")])
    put(FAILED_PREFIX + "two", [failed("b.wav"), failed("c.wav")])
    ledger = read_ledger(output)
    keys = np.array([recording_key(name) for name in ("a.wav", "b.wav", "c.wav", "d.wav")])
    assert is_in(keys, ledger.separated).tolist() == [True, True, False, False]
    assert is_in(keys, ledger.failed).tolist() == [False, False, True, False]
    assert is_in(keys, ledger.known).tolist() == [True, True, True, False]


def test_failures_are_settled_once_a_recording_is_separated_or_has_failed_again(output, put):
    put("one", [separated("mended.wav")])
    put(FAILED_PREFIX + "early", [failed("mended.wav"), failed("again.wav", "first"), failed("other.wav")])
    put(FAILED_PREFIX + "late", [failed("again.wav", "second")])
    assert len(settle_failures(output)) == 2
    rows = {row["recording_id"]: row for row in read_index(output).to_pylist() if row["status"] == "failed"}
    assert {name: row["reason"] for name, row in rows.items()} == {
        "again.wav": "second",
        "other.wav": "broken",
    }
    assert read_index(output).num_rows == 3
    lines = (output / "failed.jsonl").read().decode().splitlines()
    assert [json.loads(line)["recording_id"] for line in lines] == ["again.wav", "other.wav"]
    assert len(settle_failures(output)) == 2
    assert read_index(output).num_rows == 3


def test_a_recording_that_changed_and_failed_since_is_told_beside_its_former_stems(output, put):
    put("one", [replace(separated("a.wav"), recording_content="old")])
    put(FAILED_PREFIX + "a", [replace(failed("a.wav", "cut"), recording_content="new")])
    put(FAILED_PREFIX + "b", [replace(failed("a.wav", "of before"), recording_content="old")])
    assert settle_failures(output)["reason"].to_pylist() == ["cut"]
    ledger = read_ledger(output)
    assert (len(ledger.separated), len(ledger.failed)) == (1, 0)
    tags = ["new", "old", "another", None]
    assert ledger.is_spoilt(np.repeat(ledger.separated, 4), tags).tolist() == [True, False, False, False]
    put("two", [replace(separated("a.wav"), recording_content="new")])
    settle_duplicates(output)
    assert len(settle_failures(output)) == 0


def test_what_fails_again_counts_whatever_the_clock_of_its_machine_says(output, put):
    late, early = (datetime(year, 1, 1, tzinfo=UTC) for year in (2031, 2026))
    put(FAILED_PREFIX + "a", [replace(failed("a.wav", "cut"), created_at=late), failed("b.wav")])
    put(FAILED_PREFIX + "b", [replace(failed("a.wav", "cut"), created_at=early)])
    settle_failures(output)
    put(FAILED_PREFIX + "c", [replace(failed("a.wav", "no sound"), created_at=early)])
    assert settle_failures(output)["reason"].to_pylist() == ["no sound", "broken"]


def test_a_part_that_another_shard_settles_while_the_ledger_is_read_is_read_where_it_is_now(
    output, put, monkeypatch
):
    put(FAILED_PREFIX + "a", [failed("a.wav"), failed("a.wav")])
    put("b", [separated("b.wav")])
    read = ledger._read_keys
    settled = []

    def settle_before(part):
        if not settled:
            settled.append(settle_failures)
            monkeypatch.setattr(ledger, "_read_keys", read)
            settle_failures(output)
        return read(part)

    monkeypatch.setattr(ledger, "_read_keys", settle_before)
    found = read_ledger(output)
    assert (len(found.separated), len(found.failed)) == (1, 1)


def test_the_ledger_knows_what_a_recording_held_when_it_was_last_done(output, put):
    early, late = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))

    def of(content, when, row):
        return replace(row, recording_content=content, created_at=when)

    put("1", [of("new", late, separated("a.wav")), of("old", early, separated("a.wav"))])
    put("2", [of("b", early, separated("b.wav")), separated("unknown.wav")])
    put(FAILED_PREFIX + "3", [of("late", late, failed("b.wav")), of("c", late, failed("c.wav"))])
    names = ["a.wav", "b.wav", "c.wav", "unknown.wav", "other.wav"]
    keys = np.array([recording_key(name) for name in names])
    ledger = read_ledger(output)
    assert not ledger.has_changed(keys, ["new", "b", "c", "x", "y"]).any()
    assert not ledger.has_changed(keys, [None] * 5).any()
    assert ledger.has_changed(keys, ["old", "late", "x", "x", "y"]).tolist() == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_no_recording_stays_in_the_index_twice(output, put):
    early, late = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    put("a", [made(early, name, node) for name in ("twice.wav", "once.wav") for node in "xy"])
    put("b", [made(late, "twice.wav", node) for node in "xy"])
    put("c", [made(when, "in one part.wav", "x") for when in (late, early)])
    put("d", [made(early, "twice.wav", "x")])
    put("e", [made(early, "same time.wav", "x")])
    put("f", [made(early, "same time.wav", "x")])
    assert settle_duplicates(output) == 3
    rows = read_index(output).to_pylist()
    found = sorted((row["recording_id"], row["node_id"], row["created_at"]) for row in rows)
    assert found == sorted(
        [("twice.wav", node, late) for node in "xy"]
        + [("once.wav", node, early) for node in "xy"]
        + [("in one part.wav", "x", late), ("same time.wav", "x", early)]
    )
    assert settle_duplicates(output) == 0


def test_of_two_contents_the_one_that_a_recording_has_now_stays_whatever_the_clocks_said(
    output, put, tmp_path
):
    place = Store(tmp_path / "a.wav")
    place.put(b"new")
    early, late = (datetime(year, 1, 1, tzinfo=UTC) for year in (2026, 2031))
    row = replace(separated("a.wav"), recording_uri=str(place))
    put("1", [replace(row, created_at=late, recording_content="3 bytes, changed 1")])
    put("2", [replace(row, created_at=early, recording_content=place.content_tag())])
    assert settle_duplicates(output) == 1
    (kept,) = read_index(output).to_pylist()
    assert kept["created_at"] == early
    place.remove()  # who does not tell cannot decide
    put("1", [replace(row, created_at=late, recording_content="3 bytes, changed 1")])
    assert settle_duplicates(output) == 1
    assert read_index(output)["created_at"].to_pylist() == [late]


def test_reasons_are_counted_of_recordings_that_are_asked_for(output, put):
    put(FAILED_PREFIX + "one", [failed("a.wav", "x: expected audio, found none"), failed("b.wav")])
    rows = settle_failures(output)
    assert tally_of(rows, keys=np.array([recording_key("a.wav")])).most_common() == {
        "expected audio, found none": 1
    }


def test_many_failures_are_looked_up_a_part_at_a_time_and_written_only_where_something_changes(
    output, put, monkeypatch
):
    """Each run does it, of all that ever failed below a root."""
    for number in range(3):
        put(f"{FAILED_PREFIX}{number}", [failed(f"{number}/{name}.wav") for name in range(40)])
    put("one", [separated("0/0.wav")])
    assert len(settle_failures(output)) == 119
    looked = []
    monkeypatch.setattr(ledger, "is_in", lambda keys, found: looked.append(len(keys)) or is_in(keys, found))
    monkeypatch.setattr(IndexRow, "from_record", lambda *_: pytest.fail("a row was made"))
    monkeypatch.setattr(ledger, "write_index_part", lambda *_, **__: pytest.fail("a part was written"))
    rows = settle_failures(output)
    assert sum(tally_of(rows, keys=read_ledger(output).failed).most_common().values()) == 119
    assert len(looked) < 10
    assert (output / "failed.jsonl").read().count(b"\n") == 119


def test_failures_that_are_all_mended_leave_no_rows(output, put):
    put("one", [separated("a.wav")])
    put(FAILED_PREFIX + "two", [failed("a.wav")])
    assert len(settle_failures(output)) == 0
    assert read_index(output).num_rows == 1
    assert (output / "failed.jsonl").read() == b""


def test_only_whole_spans_are_done_and_those_of_done_recordings_go(output, put):
    key = recording_key("long.wav")
    other = recording_key("other.wav")
    for name in (
        f"{key:016x}/000000/part.json",
        f"{key:016x}/000001/0.f32",
        f"{other:016x}/000004/part.json",
    ):
        (output / ".parts" / name).put(part_of("now"))
    (output / f".parts/{key:016x}/000002/part.json").put(part_of("before"))
    (output / f".parts/{key:016x}/000003/part.json").put(b"{}")
    assert done_parts(output, folder=f".parts/{key:016x}", content_tag="now") == {0}
    assert done_parts(output, folder=".parts/none", content_tag="now") == set()
    put(f"{key:016x}", [separated("long.wav")])
    forget_done_parts(output)
    assert done_parts(output, folder=f".parts/{key:016x}", content_tag="now") == set()
    assert done_parts(output, folder=f".parts/{other:016x}", content_tag="now") == {4}
    OWNED.remove(output)
    assert done_parts(output, folder=f".parts/{other:016x}", content_tag="now") == set()
    assert len(read_ledger(output).known) == 0


def test_parts_of_earlier_versions_get_the_columns_of_today(output, put):
    """So that other programs read the parts of one output as one table."""
    failed = failed_row(RecordingFacts(recording_id="b.wav", recording_uri="b"), run=RUN, reason="no audio")
    put("a", [separated("a.wav")])
    put(FAILED_PREFIX + "b", [failed])
    for name in ("a", FAILED_PREFIX + "b"):
        part = output / index_path(name)
        table = pq.read_table(io.BytesIO(part.read())).drop_columns(["recording_content"])
        buffer = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({b"uss_ray.index_version": b"2"}), buffer)
        part.put(buffer.getvalue())
    assert settle_duplicates(output) == 0
    assert settle_failures(output)["recording_id"].to_pylist() == ["b.wav"]
    schemas = [pq.read_schema(io.BytesIO(part.read())) for part in (output / "index").list()]
    assert len(schemas) == 2
    assert {tuple(schema.names) for schema in schemas} == {tuple(INDEX_SCHEMA.names)}
    assert all(is_current_version(schema) for schema in schemas)
    assert sorted(read_index(output)["recording_id"].to_pylist()) == ["a.wav", "b.wav"]
