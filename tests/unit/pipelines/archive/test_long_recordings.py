from __future__ import annotations

import logging

import pytest

from tests.unit.pipelines.listening import listening
from tests.unit.pipelines.metrics_seen import watch_counters
from uss_ray.pipelines.archive import long_recordings
from uss_ray.pipelines.archive.long_recordings import LongRecordings
from uss_ray.pipelines.archive.outcome import Outcome, failed_outcome
from uss_ray.pipelines.runtime.counters import Counters
from uss_ray.sources.recordings import single_recording


class Joins(LongRecordings):
    """Notes what would be joined, instead of asking Ray to."""

    def __init__(self):
        super().__init__(publisher=None, state=None)
        self.asked = []
        self._join = self

    def remote(self, _state, _publisher, recording, parts):
        self.asked.append((recording.recording_id, parts))
        return recording.recording_id


@pytest.fixture
def joins():
    return Joins()


def part(name, number, parts=None):
    return Outcome(recording_id=name, recording_uri=name, status="part", part=number, parts=parts)


def test_a_recording_is_joined_when_its_last_span_is_there_in_whatever_order(joins):
    for outcome in (part("a", 2, 3), part("b", 0), part("a", 0), part("a", 0), part("b", 1, 2)):
        assert list(joins.take(outcome)) == []
    assert joins.asked == [("b", 2)]
    list(joins.take(part("a", 1)))
    assert joins.asked == [("b", 2), ("a", 3)]


def test_a_recording_with_a_span_that_failed_is_told_once_and_never_joined(joins):
    broken = failed_outcome(single_recording("a"), reason="cut off", part=1)
    assert list(joins.take(part("a", 0))) == []
    assert list(joins.take(broken)) == [broken]
    assert list(joins.take(broken)) == []
    assert list(joins.take(part("a", 2, 3))) == []
    assert joins.asked == []


def test_what_a_span_failed_of_is_known_until_it_is_done_again(joins):
    for name, status in (("a", "failed"), ("b", "unfinished"), ("c", "failed")):
        list(joins.take(failed_outcome(single_recording(name), reason="cut off", part=1, status=status)))
    list(joins.take(part("c", 0)))  # on its way when it failed
    assert joins.failed == {part(name, 0).recording_key for name in "ac"}
    later = Joins()
    later.failed = joins.failed
    list(later.take(part("c", 0)))
    assert joins.failed == {part("a", 0).recording_key}


def test_a_join_tells_what_it_took_and_counts(monkeypatch):
    seen = watch_counters(monkeypatch)
    long_recordings._metrics.cache_clear()
    done = Outcome(
        recording_id="a", recording_uri="a", status="separated", seconds=70.0, written=3, stem_bytes=9
    )
    monkeypatch.setattr(long_recordings, "_join", lambda *_: done)
    with listening() as notes:
        outcome = long_recordings._joined(notes, None, single_recording("a"), 2)
    long_recordings._metrics.cache_clear()
    assert outcome.join_seconds > 0
    assert outcome.peak_bytes > 1 << 20
    counters = Counters()
    counters.add(outcome.increment())
    (stage,) = counters.stage_summaries({"join": 1})
    assert (stage.busy_seconds, stage.peak_memory_bytes) == (outcome.join_seconds, outcome.peak_bytes)
    assert seen["uss_ray_recordings_total"] == {("archive", "separated"): 1}
    assert seen["uss_ray_audio_seconds_total"] == {("archive",): 70.0}
    assert seen["uss_ray_stage_seconds_total"] == {("archive", "join"): outcome.join_seconds}


def test_short_recordings_pass(joins):
    outcome = Outcome(recording_id="a", recording_uri="a", status="separated")
    assert list(joins.take(outcome)) == [outcome]


def test_what_a_joining_workers_store_warns_of_comes_to_the_driver(monkeypatch):
    def join(*_):
        logging.getLogger("uss_ray.store.patience").warning("s3://bucket is away since 12:00")
        return failed_outcome(single_recording("a"), reason="away")

    monkeypatch.setattr(long_recordings, "_join", join)
    with listening() as notes:
        long_recordings._joined(notes, None, single_recording("a"), 2)
    assert [text for _, text, _ in notes.taken] == ["s3://bucket is away since 12:00"]
