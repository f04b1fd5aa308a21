"""Threads over a stream: in order, with bounded look-ahead, and errors where results would come."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from uss_ray.parallel import map_stream


def test_results_come_in_order_and_only_so_many_items_are_taken_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_stream(lambda number: number * number, items(), threads=3)
    assert taken == []
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(taken) <= 5 + 6
    assert list(results) == [number * number for number in range(5, 100)]
    assert list(map_stream(str, [], threads=2)) == []


def test_items_are_worked_on_side_by_side() -> None:
    both = threading.Barrier(2, timeout=300)
    assert sorted(map_stream(lambda _: both.wait(), [1, 2], threads=2)) == [0, 1]


def test_an_error_comes_where_its_result_would() -> None:
    results = map_stream(lambda number: 1 // number, [1, 1, 0, 1], threads=2)
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
