from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from uss_ray.datasets.segment_table import ClipMatch, SegmentTable
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import DataError

RECORDS = [
    ClipRecord("Yx", 30.0, 40.0, (2,)),
    ClipRecord("-a_1", 0.0, 10.0, (0, 1)),
    ClipRecord("v", 20.0, 30.0, (1,)),
    ClipRecord("v", 5.5, 15.5, (0,)),
    ClipRecord("-a_1", 0.0, 10.0, (1, 2)),
    ClipRecord("longer-than-others", 0.0, 10.0, (526,)),
]


@pytest.fixture
def table() -> SegmentTable:
    return SegmentTable.from_records(RECORDS)


def test_rows_are_sorted_and_lines_that_repeat_a_clip_are_united(table: SegmentTable) -> None:
    assert list(table.records()) == [
        ClipRecord("-a_1", 0.0, 10.0, (0, 1, 2)),
        ClipRecord("Yx", 30.0, 40.0, (2,)),
        ClipRecord("longer-than-others", 0.0, 10.0, (526,)),
        ClipRecord("v", 5.5, 15.5, (0,)),
        ClipRecord("v", 20.0, 30.0, (1,)),
    ]
    assert table.repeated == 1


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("-a_1", ClipMatch((0,), False)),
        ("Y-a_1", ClipMatch((0,), False)),
        ("Yx", ClipMatch((1,), False)),
        ("YYx", ClipMatch((1,), False)),
        ("x", None),
        ("v", ClipMatch((3, 4), False)),
        ("v_20.000_30.000", ClipMatch((4,), True)),
        ("Yv_5500_15500", ClipMatch((3,), True)),
        ("v_20000", ClipMatch((4,), True)),
        ("v_7", None),
        ("-a_1_0", ClipMatch((0,), True)),
        ("Y-a_1_0.000", ClipMatch((0,), True)),
        ("-a_1_0_10000", ClipMatch((0,), True)),
        ("-a_1_7", None),
        ("_1", None),
        ("much-longer-than-any-id-there-is", None),
    ],
)
def test_names_are_matched_as_downloaders_write_them(
    table: SegmentTable, name: str, match: ClipMatch | None
) -> None:
    assert table.match(name) == match


def test_class_totals_equal_a_slow_count(table: SegmentTable) -> None:
    weights = np.arange(1.0, 6.0)
    slow = np.zeros(527)
    for weight, record in zip(weights, table.records(), strict=True):
        slow[list(record.class_indexes)] += weight
    np.testing.assert_array_equal(table.class_totals(weights, classes=527), slow)


def test_the_table_travels_as_plain_buffers_of_some_forty_bytes_a_clip() -> None:
    table = SegmentTable.from_records(
        ClipRecord(f"{number:011d}", 0.0, 10.0, (number % 527, 3)) for number in range(20_000)
    )
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(table, protocol=5, buffer_callback=buffers.append)
    assert len(head) < 2000
    assert table.nbytes < 45 * len(table)
    assert sum(len(buffer.raw()) for buffer in buffers) == table.nbytes


def test_tables_are_read_together_and_an_empty_one_is_an_error(tmp_path: Path) -> None:
    one, other, none = (tmp_path / name for name in ("one.csv", "other.csv", "none.csv"))
    one.write_text('x, 0, 10, "/m/1"\n')
    other.write_text('y, 0, 10, "/m/1"\n')
    none.write_text("# nothing\n")
    assert len(SegmentTable.load([one, other], class_index={"/m/1": 0})) == 2
    with pytest.raises(DataError, match="at least one clip"):
        SegmentTable.load([none], class_index={})


def test_an_id_too_long_for_the_table_is_an_error() -> None:
    with pytest.raises(DataError, match="255 bytes"):
        SegmentTable.from_records([ClipRecord("x" * 256, 0.0, 1.0, (0,))])
