from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from uss_ray.pipelines.archive.ledger import Ledger
from uss_ray.pipelines.archive.missing import TellState, drop_done

KNOWN = Ledger(separated=np.array([2, 5]), failed=np.array([3]))


def table(*keys: int) -> pa.Table:
    return pa.table({"recording_key": pa.array(keys, pa.int64()), "place": range(len(keys))})


@pytest.mark.parametrize(
    ("retry_failed", "left"), [(False, [1, 4]), (True, [3])], ids=["first time", "repetition"]
)
def test_what_is_done_is_left_out(retry_failed: bool, left: list[int]) -> None:
    kept = drop_done(table(1, 2, 3, 4, 5), known=KNOWN, retry_failed=retry_failed)
    assert kept["recording_key"].to_pylist() == left


def test_a_recording_that_is_listed_twice_is_done_once() -> None:
    kept = drop_done(table(7, 1, 7, 1, 9), known=KNOWN, retry_failed=False)
    assert kept["place"].to_pylist() == [0, 1, 4]


def test_nothing_listed_is_nothing_to_do() -> None:
    assert drop_done(table(), known=KNOWN, retry_failed=False).num_rows == 0


def test_what_is_passed_over_is_told_to_the_state() -> None:
    told: list[list[str]] = []
    state = SimpleNamespace(add_passed_over=SimpleNamespace(remote=told.append))
    TellState(state)(("a.txt", "b.txt"))
    assert told == [["a.txt", "b.txt"]]
