"""Readers as a Ray source: rows come while readers read, and no more tasks are started than there are readers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray.data
from ray.data import DataContext
from ray.exceptions import RayError

from uss_ray.errors import DataError
from uss_ray.pipelines.runtime.context import BLOCK_BYTES
from uss_ray.pipelines.runtime.source import read_tables
from uss_ray.sources.listing import open_listing
from uss_ray.sources.recordings import RECORDING_SCHEMA

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

SCHEMA = pa.schema([("number", pa.int64()), ("text", pa.string())])
ROW_BYTES = 200
PATIENCE_SECONDS = 240.0  # for what must happen; a machine may be busy


@pytest.fixture
def context() -> Iterator[DataContext]:
    current = DataContext.get_current()
    with DataContext.current(current.copy()):
        changed = DataContext.get_current()
        changed.target_max_block_size = BLOCK_BYTES
        changed.enable_progress_bars = False
        changed.max_errored_blocks = 0  # our jobs, in the same process, set it otherwise
        yield changed


@dataclass(frozen=True)
class CountUp:
    """Numbers in tables of 1000 rows; goes on after `tables_before` only when `gate` exists."""

    first: int
    tables: int
    gate: str | None = None
    tables_before: int = 0

    def __call__(self) -> Iterator[pa.Table]:
        for table in range(self.tables):
            if self.gate and table == self.tables_before:
                waited = 0.0
                while not Path(self.gate).exists() and waited < PATIENCE_SECONDS:
                    time.sleep(0.05)
                    waited += 0.05
                if waited >= PATIENCE_SECONDS:
                    raise TimeoutError("no row was handed on before the reader's end")
            start = self.first + 1000 * table
            yield pa.table(
                {"number": range(start, start + 1000), "text": ["x" * ROW_BYTES] * 1000}, schema=SCHEMA
            )


@dataclass(frozen=True)
class Broken:
    def __call__(self) -> Iterator[pa.Table]:
        yield pa.table({"number": [1], "text": ["a"]}, schema=SCHEMA)
        raise DataError("list.csv, line 2", expected="a number", found="'x'")


def _is_even(row: dict[str, int]) -> bool:
    return row["recording_key"] % 2 == 0


def test_every_row_of_every_reader_comes_once(context):
    dataset = read_tables([CountUp(0, 3), CountUp(10_000, 1), CountUp(20_000, 2)], schema=SCHEMA)
    numbers = sorted(row["number"] for row in dataset.iter_rows())
    assert numbers == [*range(3000), *range(10_000, 11_000), *range(20_000, 22_000)]


def test_rows_come_before_the_reader_has_ended(context, tmp_path):
    gate = tmp_path / "gate"
    before = 4 * BLOCK_BYTES // (1000 * ROW_BYTES)
    reader = CountUp(0, before + 1, gate=str(gate), tables_before=before)
    rows = iter(read_tables([reader], schema=SCHEMA).iter_rows())
    assert next(rows)["number"] == 0
    gate.touch()
    assert sum(1 for _ in rows) == 1000 * (before + 1) - 1


def test_blocks_are_not_cut_to_slivers(context):
    dataset = read_tables([CountUp(0, 20)], schema=SCHEMA).materialize()
    sizes = [bundle.num_rows() for bundle in dataset.iter_internal_ref_bundles()]
    assert sum(sizes) == 20_000
    assert len(sizes) <= 8


def test_nothing_is_read_to_plan(context, tmp_path):
    @dataclass(frozen=True)
    class Telling:
        place: str

        def __call__(self) -> Iterator[pa.Table]:
            Path(self.place).touch()
            yield from CountUp(0, 1)()

    place = tmp_path / "was read"
    dataset = read_tables([Telling(str(place))], schema=SCHEMA)
    assert dataset.schema().names == SCHEMA.names
    assert not place.exists()
    assert dataset.count() == 1000
    assert place.exists()


def test_a_reader_of_other_columns_is_an_error(context):
    dataset = read_tables([CountUp(0, 1)], schema=pa.schema([("number", pa.int64())]))
    with pytest.raises(RayError, match="expected columns number"):
        dataset.materialize()


def test_a_reader_that_fails_ends_the_job_with_its_reason(context):
    with pytest.raises(RayError, match="line 2: expected a number"):
        read_tables([CountUp(0, 1), Broken()], schema=SCHEMA).materialize()


def test_a_listing_becomes_rows(context, tmp_path):
    names = [f"{number}.wav" for number in range(5000)]
    for part in range(2):
        pq.write_table(pa.table({"uri": names[part::2]}), tmp_path / f"{part}.parquet")
    listing = open_listing(str(tmp_path))
    dataset = read_tables(listing.readers, schema=RECORDING_SCHEMA, name="Recordings")
    assert sorted(row["recording_id"] for row in dataset.iter_rows()) == sorted(names)
    kept = read_tables(listing.readers, schema=RECORDING_SCHEMA).filter(_is_even)
    assert 2300 < kept.count() < 2700
    assert isinstance(dataset, ray.data.Dataset)
