from __future__ import annotations

import numpy as np
import pytest

from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio
from uss_ray.datasets.labelled_clips import LabelledClip
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.datasets.segments import ClipRecord
from uss_ray.pipelines.mining.clips import CLIP_SCHEMA, clip_tables, clips_of, excerpt_id, selected_clips
from uss_ray.pipelines.runtime.options import JobOptions


class Reader:
    """A container in memory; an item is a clip, or a container that is broken."""

    location = "here"

    def __init__(self, *items):
        self.items = items
        self.read = []

    def places(self):
        return iter(())

    def __call__(self, *, wanted=None):
        for item in self.items:
            if isinstance(item, BrokenContainer) or wanted is None or wanted(item.name):
                self.read.append(item)
                yield item


@pytest.fixture
def table():
    return SegmentTable.from_records(
        [
            ClipRecord("a", 0.0, 10.0, (1,)),
            ClipRecord("b", 0.0, 10.0, (2, 3)),
            ClipRecord("b", 30.0, 40.0, (3,)),
            ClipRecord("c", 5.0, 15.0, (4,)),
        ]
    )


def everything(rows):
    return np.ones(len(rows), np.bool_)


def read(reader, table, *, wanted=None, claim=everything):
    chosen = np.ones(len(table), np.bool_) if wanted is None else np.array(wanted)
    return [
        item
        for part in clip_tables(reader, table=table, wanted=chosen, claim=claim)
        for item in clips_of(part)
    ]


def test_clips_travel_with_their_labels_and_their_audio(table):
    samples = np.array([1, -2, 3], np.int16)
    reader = Reader(
        ClipAudio("Ya", "s3://x/Ya.wav"),
        BrokenContainer("x.tar", "cut off"),
        ClipAudio("c", "x.h5#c", samples=samples, sample_rate=16_000),
        ClipAudio("unlabelled", "x.wav"),
    )
    first, broken, last = read(reader, table)
    assert isinstance(first, LabelledClip)
    assert (first.record.clip_id, first.record.class_indexes, first.audio.location) == (
        "a",
        (1,),
        "s3://x/Ya.wav",
    )
    assert broken == BrokenContainer("x.tar", "cut off")
    assert isinstance(last, LabelledClip)
    assert (last.record.start_seconds, last.row, last.audio.sample_rate) == (5.0, 3, 16_000)
    np.testing.assert_array_equal(last.audio.samples, samples)


def test_excerpts_of_one_recording_have_names_of_their_own(table):
    assert [excerpt_id(table, row) for row in range(4)] == ["a", "b_0.000", "b_30.000", "c"]
    found = read(Reader(ClipAudio("b", "b.wav", data=b"1")), table)
    assert [(clip.record.clip_id, clip.holds) for clip in found] == [
        ("b_0.000", "recording"),
        ("b_30.000", "recording"),
    ]


def test_what_is_not_wanted_is_not_read_and_nothing_comes_twice(table):
    reader = Reader(
        ClipAudio("c", "c.wav"), ClipAudio("a", "a.wav"), ClipAudio("a", "a.flac"), ClipAudio("b", "b.wav")
    )
    found = read(reader, table, wanted=[True, False, False, False])
    assert [clip.audio.location for clip in found] == ["a.wav"]
    assert len(reader.read) == 1


def test_a_clip_of_another_reader_is_left_to_it(table):
    found = read(
        Reader(ClipAudio("a", "a.wav"), ClipAudio("c", "c.wav")), table, claim=lambda rows: rows != 0
    )
    assert [clip.record.clip_id for clip in found] == ["c"]


def test_tables_stay_small(table):
    records = [ClipRecord(f"{number:04d}", 0.0, 10.0, (1,)) for number in range(200)]
    large = SegmentTable.from_records(records)
    reader = Reader(*(ClipAudio(record.clip_id, "x", data=bytes(1 << 20)) for record in records))
    tables = clip_tables(reader, table=large, wanted=np.ones(200, np.bool_), claim=everything)
    sizes = []
    for part in tables:
        assert part.schema.equals(CLIP_SCHEMA)
        sizes.append(len(part))
    assert sum(sizes) == 200
    assert max(sizes) <= 4


def test_parts_cover_the_chosen_clips_once():
    masks = [selected_clips(JobOptions(limit=10, shard=(part, 3)), clips=12) for part in (1, 2, 3)]
    assert np.sum(masks, axis=0).tolist() == [1] * 10 + [0, 0]
