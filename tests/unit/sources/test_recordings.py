"""Rows of listings: what they hold, how many go together, and names that no table can hold."""

from __future__ import annotations

import os

import pytest

from uss_ray.errors import RecordingError
from uss_ray.records import recording_key
from uss_ray.sources.recordings import (
    RECORDING_SCHEMA,
    ROWS_PER_TABLE,
    ListedRecording,
    recording_tables,
    single_recording,
)


def test_rows_come_in_order_a_thousand_at_a_time_with_their_keys() -> None:
    listed = [ListedRecording(f"s3://b/{n}.wav", f"{n}.wav", byte_count=n) for n in range(ROWS_PER_TABLE + 5)]
    tables = list(recording_tables(iter(listed)))
    assert [table.num_rows for table in tables] == [ROWS_PER_TABLE, 5]
    assert all(table.schema.equals(RECORDING_SCHEMA) for table in tables)
    assert tables[1].to_pylist()[0] == {
        "recording_key": recording_key("1000.wav"),
        "recording_id": "1000.wav",
        "recording_uri": "s3://b/1000.wav",
        "bytes": 1000,
        "duration_seconds": None,
        "content_tag": None,
    }


def test_rows_are_taken_as_tables_are_asked_for() -> None:
    taken = []

    def listed():
        for number in range(3000):
            taken.append(number)
            yield ListedRecording(f"{number}.wav", f"{number}.wav")

    tables = recording_tables(listed())
    next(tables)
    assert len(taken) == ROWS_PER_TABLE


def test_nothing_gives_no_table() -> None:
    assert list(recording_tables([])) == []


def test_a_name_in_no_encoding_is_refused_by_name() -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    with pytest.raises(RecordingError, match=r"caf.*expected a name in UTF-8"):
        list(recording_tables([ListedRecording(name, "caf%E9.wav")]))


def test_a_single_recording_is_called_by_its_file_alone() -> None:
    places = ["/archive/deep/a b.wav", "s3://bucket/deep/a b.wav", "https://host/deep/a b.wav"]
    assert {single_recording(place).recording_id for place in places} == {"a b.wav"}
    assert single_recording(places[1]).recording_uri == places[1]
    for nothing in ("", "..", "/"):
        with pytest.raises(RecordingError, match="the name of an audio file"):
            single_recording(nothing)
