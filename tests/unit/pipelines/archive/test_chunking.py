"""A small archive is cut finely, a large one coarsely."""

from __future__ import annotations

import pyarrow as pa
import pytest

from uss_ray.pipelines.archive.chunking import Chunking, FewRecordings, few_recordings
from uss_ray.sources.listing import Listing


@pytest.mark.parametrize(
    ("recordings", "actors", "units"), [(None, 4, 16), (3, 2, 1), (40, 2, 5), (256, 1, 16), (256, 16, 4)]
)
def test_each_worker_gets_some_of_a_small_archive(recordings, actors, units):
    few = None if recordings is None else FewRecordings((10,) * recordings)
    assert Chunking.of(few, actors=actors).packet_units == units


def test_in_isolation_each_recording_is_by_itself():
    assert Chunking.isolated() == Chunking(decode_rows=1, packet_units=1)


@pytest.mark.parametrize(
    ("known", "tables", "count"), [(100, 1, 100), (10_000, 1, None), (None, 2, 200), (None, 3, None)]
)
def test_recordings_are_counted_only_while_they_are_few(known, tables, count):
    read = []

    def reader():
        for _ in range(tables):
            read.append(1)
            yield pa.table({"bytes": range(100)})

    listing = Listing(readers=(reader,) * (2 if tables == 3 else 1), kind="folder", known_count=known)
    few = few_recordings(listing)
    assert (None if few is None else len(few.sizes)) == count
    assert len(read) <= 3


@pytest.mark.parametrize(
    ("sizes", "spans"),
    [((0, 9), 2), ((80_000, 80_001), 3), ((1_000_000, 10), 14), ((10, None), None), ((), 0)],
)
def test_a_long_recording_of_a_small_archive_has_several_spans(sizes, spans):
    assert FewRecordings(sizes).spans(span_seconds=20) == spans
