"""Tables in place of a pipeline of Ray's, for what takes its rows."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from uss_ray.pipelines.runtime import stages


class Tables:
    """What `stages.rows_of` asks of a dataset."""

    def __init__(self, tables: Sequence[pa.Table]) -> None:
        self._tables = tables

    def select_columns(self, columns: Sequence[str]) -> list[pa.Table]:
        return [table.select(columns) for table in self._tables]


def take_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `rows_of` take them."""
    monkeypatch.setattr(stages, "TableStream", iter)
