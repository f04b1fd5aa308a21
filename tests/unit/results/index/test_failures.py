"""Failed recordings as lines, and their reasons counted."""

from __future__ import annotations

import json
import os
from datetime import datetime

from uss_ray.errors import RecordingError
from uss_ray.results.index.failures import OTHER_REASONS, FailureTally, failed_jsonl, reason_kind
from uss_ray.results.index.table import IndexRow, RecordingFacts, RunFacts, failed_row


def a_failure(name: str, run: RunFacts) -> IndexRow:
    facts = RecordingFacts(recording_id=name, recording_uri=f"s3://bucket/{name}")
    error = RecordingError(f"s3://bucket/{name}", expected="audio", found="an empty file")
    return failed_row(facts, run=run, reason=error.reason)


def test_each_failed_recording_is_one_line_and_nothing_else_is(run_facts: RunFacts) -> None:
    good = IndexRow(
        run_id="run",
        recording_id="good.wav",
        recording_uri="good.wav",
        node_id="d",
        label="Dog",
        level=1,
        kind="node",
        status="absent",
        weights_name="w",
        weights_sha256="0",
    )
    failed = [a_failure("a b.wav", run_facts), a_failure("犬.wav", run_facts)]
    lines = list(failed_jsonl(row.to_record() for row in (failed[0], good, failed[1])))
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    records = [json.loads(line) for line in lines]
    assert [record["recording_id"] for record in records] == ["a b.wav", "犬.wav"]
    assert records[0] == {
        "recording_id": "a b.wav",
        "recording_uri": "s3://bucket/a b.wav",
        "reason": "s3://bucket/a b.wav: expected audio, found an empty file",
        "run_id": "run",
        "time": failed[0].created_at.isoformat(),
    }
    assert datetime.fromisoformat(records[0]["time"]).tzinfo is not None


def test_a_name_in_no_encoding_becomes_a_line_that_can_be_stored(run_facts: RunFacts) -> None:
    facts = RecordingFacts(recording_id="caf%E9.wav", recording_uri=os.fsdecode(b"caf\xe9.wav"))
    (line,) = failed_jsonl([failed_row(facts, run=run_facts, reason="broken").to_record()])
    assert json.loads(line.encode("utf-8"))["recording_uri"] == "caf\\udce9.wav"


def test_the_kind_of_a_reason_does_not_name_the_recording() -> None:
    reasons = [
        RecordingError(f"s3://b/{name}", expected="audio", found="text").reason
        for name in ("a.wav", "b: c.wav")
    ]
    assert {reason_kind(reason) for reason in reasons} == {"expected audio, found text"}
    assert reason_kind("the worker died") == "the worker died"


def test_counts_always_sum_to_the_failures_however_many_kinds_there_are() -> None:
    tally = FailureTally(max_kinds=5)
    for i in range(12):
        tally.add(f"reason {i}", count=i + 1)
    tally.add("a.wav: expected x, found reason 1")
    tally.add("reason 4")
    counts = tally.most_common(3)
    assert list(counts.items())[:3] == [("reason 4", 6), ("reason 3", 4), ("reason 2", 3)]
    assert sum(counts.values()) == 78 + 2
    assert set(counts) == {"reason 4", "reason 3", "reason 2", OTHER_REASONS}


def test_nothing_failed_is_an_empty_count() -> None:
    assert FailureTally().most_common() == {}
