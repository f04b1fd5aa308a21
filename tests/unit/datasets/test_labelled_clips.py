"""Labels meet audio: what is not labelled is not read, and a name tells what a file holds as far as it can."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio, Wanted
from uss_ray.datasets.labelled_clips import LabelledClip, holds_of, join_clips
from uss_ray.datasets.segment_table import ClipMatch, SegmentTable
from uss_ray.datasets.segments import ClipRecord
from uss_ray.store.store import Store


class Reader:
    """Holds clips by their names; notes which were read."""

    place = Store("a.tar")

    def __init__(self, *names: str) -> None:
        self.names = names
        self.read: list[str] = []

    def places(self) -> Iterator[BrokenContainer]:
        yield from ()

    def __call__(self, *, wanted: Wanted | None = None) -> Iterator[ClipAudio | BrokenContainer]:
        for name in self.names:
            if wanted is None or wanted(name):
                self.read.append(name)
                yield ClipAudio(name, f"a.tar#{name}", data=b"")
        yield BrokenContainer("a.tar", "cut off")


@pytest.fixture
def table() -> SegmentTable:
    return SegmentTable.from_records(
        [ClipRecord("a", 0, 10, (1,)), ClipRecord("b", 0, 10, (2,)), ClipRecord("b", 30, 40, (3,))]
    )


def test_what_the_table_does_not_name_is_not_read(table: SegmentTable) -> None:
    reader = Reader("Ya", "unknown", "a")
    clips = list(join_clips(reader, table=table))
    assert reader.read == ["Ya", "a"]
    assert [clip.row for clip in clips if isinstance(clip, LabelledClip)] == [0, 0]
    assert clips[-1] == BrokenContainer("a.tar", "cut off")


def test_a_recording_with_several_labelled_excerpts_comes_once_for_each(table: SegmentTable) -> None:
    *clips, _ = join_clips(Reader("b"), table=table)
    assert [(clip.row, clip.record.class_indexes, clip.holds) for clip in clips] == [
        (1, (2,), "recording"),
        (2, (3,), "recording"),
    ]
    *chosen, _ = join_clips(Reader("b", "a"), table=table, wanted=lambda row: row == 2)
    assert [clip.row for clip in chosen] == [2]
    reader = Reader("b", "a")
    assert len(list(join_clips(reader, table=table, wanted=lambda row: False))) == 1
    assert reader.read == []


def test_what_a_file_holds_is_told_by_its_name_or_its_length() -> None:
    assert holds_of(ClipMatch((1,), is_excerpt=True)) == "excerpt"
    assert holds_of(ClipMatch((1,), is_excerpt=False)) == "either"
    assert holds_of(ClipMatch((1, 2), is_excerpt=False)) == "recording"
