from __future__ import annotations

import numpy as np
import pytest

from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio
from uss_ray.datasets.containers.files import FilesReader
from uss_ray.datasets.containers.tar import TarReader
from uss_ray.datasets.labelled_clips import LabelledClip
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.datasets.segments import ClipRecord
from uss_ray.pipelines.mining.clips import (
    CLIP_SCHEMA,
    Chosen,
    clip_tables,
    clips_of,
    container_tags,
    excerpt_id,
    selected_clips,
    shared_names,
)
from uss_ray.pipelines.mining.ledger import MiningLedger
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.records import content_key
from uss_ray.store.store import Store


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


def chosen_of(*undone, contents=None, **more):
    none = np.zeros(len(undone), np.int64)
    return Chosen(
        undone=np.array(undone, np.bool_), contents=none if contents is None else np.array(contents), **more
    )


def read(reader, table, *, chosen=None, claim=everything, **more):
    chosen = chosen_of(*[True] * len(table)) if chosen is None else chosen
    return [
        item
        for part in clip_tables(reader, table=table, chosen=chosen, claim=claim, **more)
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


def test_names_that_several_excerpts_share_are_found():
    spans = [
        ("a", 0, 10),
        ("a", 0.0004, 10),
        ("b", 5, 6),
        ("b", 5, 7),
        ("c", 1, 2),
        ("c", 1.001, 2),
        ("d", 1, 2),
    ]
    table = SegmentTable.from_records(ClipRecord(name, start, end, (1,)) for name, start, end in spans)
    assert shared_names(table) == ["a_0.000", "b_5.000"]


def test_what_is_not_wanted_is_not_read_and_nothing_comes_twice(table):
    reader = Reader(
        ClipAudio("c", "c.wav"), ClipAudio("a", "a.wav"), ClipAudio("a", "a.flac"), ClipAudio("b", "b.wav")
    )
    found = read(reader, table, chosen=chosen_of(True, False, False, False))
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
    tables = clip_tables(reader, table=large, chosen=chosen_of(*[True] * 200), claim=everything)
    sizes = []
    for part in tables:
        assert part.schema.equals(CLIP_SCHEMA)
        sizes.append(len(part))
    assert sum(sizes) == 200
    assert max(sizes) <= 4


def test_parts_cover_the_chosen_clips_once():
    masks = [selected_clips(JobOptions(limit=10, shard=(part, 3)), clips=12) for part in (1, 2, 3)]
    assert np.sum(masks, axis=0).tolist() == [1] * 10 + [0, 0]


def test_a_clip_that_holds_something_else_than_when_it_was_done_comes_again(table):
    told = []

    def tell(row):
        told.append(row)
        return True

    then = [content_key("one"), content_key("two"), 0, content_key("four")]
    reader = Reader(
        ClipAudio("a", "a.wav", content_tag="another"),
        ClipAudio("b", "b.wav", content_tag="two"),
        ClipAudio("c", "c.wav"),  # nobody can tell
        ClipAudio("a", "again/a.wav", content_tag="one"),
    )
    found = read(reader, table, chosen=chosen_of(False, False, False, False, contents=then, tell=tell))
    assert [(clip.row, clip.audio.content_tag) for clip in found] == [(0, "another")]
    assert told == [0]
    kept = chosen_of(False, False, False, False, contents=then, tell=lambda row: False)
    assert read(reader, table, chosen=kept) == []


def test_clips_of_a_container_that_is_as_it_was_are_not_looked_at(table, tmp_path):
    (tmp_path / "a.tar").write_bytes(b"1")
    place = Store(str(tmp_path / "a.tar"))
    (tag,) = container_tags([TarReader(place), TarReader(place)]).values()
    assert not container_tags([FilesReader(Store(str(tmp_path)))])
    done = [content_key(tag), content_key("before"), 0, 0]
    chosen = chosen_of(False, False, False, True, contents=done).in_container(
        np.array([content_key(tag)], np.int64)
    )
    reader = Reader(*(ClipAudio(name, f"a.tar#{name}", data=b"") for name in "abc"))
    found = read(reader, table, chosen=chosen, content_tag=tag)
    assert [(clip.row, clip.audio.content_tag) for clip in found] == [(1, tag), (3, tag)]


@pytest.mark.parametrize(
    ("changed", "retry_failed", "looked_at"),
    [
        ("redo", False, [8, 0, 9]),
        ("fail", False, [8, 0, 9]),
        ("keep", False, [0] * 3),
        ("redo", True, [0] * 3),
    ],
)
def test_who_is_looked_at_again_is_chosen_by_what_is_done(changed, retry_failed, looked_at):
    ledger = MiningLedger(
        mined=np.array([True, False, False]),
        failed=np.array([False, False, True]),
        contents=np.array([8, 0, 9]),
    )
    told = []
    chosen = Chosen.of(
        ledger,
        among=np.ones(3, np.bool_),
        retry_failed=retry_failed,
        changed=changed,
        tell=told.append,
    )
    assert chosen.undone.tolist() == ([False, False, True] if retry_failed else [False, True, False])
    assert chosen.contents.tolist() == looked_at
    assert chosen.tell(2) == (changed == "redo")
    assert told == [2]
