from __future__ import annotations

import pytest

from uss_ray.errors import DataError
from uss_ray.evaluation.rows import BASELINE_NAMES, CONSTANT, ScoreRow, chunk_name, rows_from_parquet
from uss_ray.evaluation.systems import BASELINES


def test_what_are_no_rows_is_refused() -> None:
    with pytest.raises(DataError, match="expected scores of an evaluation"):
        rows_from_parquet(b"no", item="a")
    assert chunk_name(3) == "items/000003.parquet"
    assert ScoreRow(item_id="a", label="b", system="c", query="", scores={}).undefined == ()


def test_baselines_are_known_by_their_names_without_what_they_do() -> None:
    assert {*(baseline.name for baseline in BASELINES), CONSTANT} == BASELINE_NAMES
