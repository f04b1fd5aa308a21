from __future__ import annotations

import pytest

from uss_ray.pipelines.archive.long_recordings import LongRecordings
from uss_ray.pipelines.archive.outcome import Outcome, failed_outcome
from uss_ray.sources.recordings import single_recording


class Joins(LongRecordings):
    """Notes what would be joined, instead of asking Ray to."""

    def __init__(self):
        super().__init__(publisher=None)
        self.asked = []
        self._join = self

    def remote(self, _publisher, recording, parts):
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


def test_short_recordings_pass(joins):
    outcome = Outcome(recording_id="a", recording_uri="a", status="separated")
    assert list(joins.take(outcome)) == [outcome]
