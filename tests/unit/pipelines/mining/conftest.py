from __future__ import annotations

import pytest

from tests.unit.pipelines.mining.made import CLIPS
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import OutputError
from uss_ray.store.store import Store


@pytest.fixture
def table():
    return SegmentTable.from_records(
        [ClipRecord(f"clip{row}", 0.0, 10.0, (row, 100)) for row in range(CLIPS)]
    )


@pytest.fixture
def output(tmp_path):
    return Store(tmp_path / "out", None, OutputError)
