"""What Ray asks of a source, asked here; what Ray makes of it is in `tests/ray/test_source.py`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pytest

from uss_ray.errors import DataError
from uss_ray.pipelines.runtime.source import TableSource

SCHEMA = pa.schema([("number", pa.int64())])


def numbers(first: int, *, tables: int = 2) -> Iterator[pa.Table]:
    for place in range(tables):
        yield pa.table({"number": [first + place]}, schema=SCHEMA)


def source(count: int) -> TableSource:
    return TableSource([partial(numbers, 10 * reader) for reader in range(count)], SCHEMA, name="Numbers")


def test_there_is_one_task_a_reader_or_fewer_where_fewer_are_asked_for() -> None:
    assert len(source(10).get_read_tasks(200)) == 10
    tasks = source(10).get_read_tasks(3)
    found = [[table["number"][0].as_py() for table in task()] for task in tasks]
    assert [len(each) for each in found] == [8, 6, 6]
    read = [number for each in found for number in each]
    assert sorted(read) == sorted(10 * reader + place for reader in range(10) for place in (0, 1))
    assert len(source(2).get_read_tasks(0)) == 1


def test_a_source_has_a_name_and_no_guess_of_its_size() -> None:
    assert source(1).get_name() == "Numbers"
    assert source(1).estimate_inmemory_data_size() is None


def test_other_columns_are_an_error() -> None:
    other = TableSource([partial(numbers, 0)], pa.schema([("text", pa.string())]))
    with pytest.raises(DataError, match="expected columns text"):
        list(other.get_read_tasks(1)[0]())


def test_a_source_without_readers_is_refused() -> None:
    with pytest.raises(DataError, match="at least one reader"):
        source(0)
