"""Probabilities and spans over time."""

from __future__ import annotations

import numpy as np
import pytest

from uss_ray.results.index.activity import ActivityLog
from uss_ray.results.index.table import ActiveSpan


def spans(n: int, *, start: int = 0, seconds: float = 2.0) -> np.ndarray:
    return (np.arange(start, start + n)[:, None] + [0, 1]) * seconds


def test_neighbouring_active_segments_make_one_span_cut_at_the_end() -> None:
    log = ActivityLog(["a", "b"])
    active = np.array([[1, 0], [1, 0], [0, 0], [1, 0]], bool)
    log.add(np.full((2, 2), 0.5), active=active[:2], spans_seconds=spans(2))
    log.add([[0.5, 0.25], [0.75, 0.5]], active=active[2:], spans_seconds=spans(2, start=2))
    result = log.result(total_seconds=7.25)
    assert result["a"].spans == (
        ActiveSpan(start_seconds=0.0, end_seconds=4.0),
        ActiveSpan(start_seconds=6.0, end_seconds=7.25),
    )
    assert result["b"].spans == ()
    assert result["a"].highest_probability == 0.75
    assert result["a"].probabilities.tolist() == [0.5, 0.5, 0.5, 0.75]
    assert result["a"].column_seconds == 2.0


def test_columns_stay_bounded_and_keep_every_maximum() -> None:
    log = ActivityLog(["a"], max_columns=8)
    probs = np.zeros((50, 1), np.float32)
    probs[[3, 41], 0] = [0.5, 0.875]
    for first in range(0, 50, 7):
        part = probs[first : first + 7]
        log.add(part, active=part > 0, spans_seconds=spans(len(part), start=first))
    activity = log.result(total_seconds=100.0)["a"]
    assert activity.column_seconds == 16.0
    assert activity.probabilities.tolist() == [0.5, 0.0, 0.0, 0.0, 0.0, 0.875, 0.0]


def test_overlapping_segments_merge() -> None:
    log = ActivityLog(["a"])
    log.add([[1.0], [1.0]], active=[[True], [True]], spans_seconds=[[0.0, 2.0], [1.0, 3.0]])
    activity = log.result(total_seconds=3.0)["a"]
    assert activity.spans == (ActiveSpan(start_seconds=0.0, end_seconds=3.0),)
    assert activity.column_seconds == 1.0


def test_a_target_that_is_not_tagged_has_no_probability() -> None:
    log = ActivityLog(["a"], max_columns=2)
    log.add(np.full((5, 1), np.nan), active=np.ones((5, 1), bool), spans_seconds=spans(5))
    assert log.result(total_seconds=10.0)["a"].highest_probability is None


def test_segments_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        ActivityLog(["a", "b"]).add([[0.5, 0.5, 0.5]], active=[[True] * 3], spans_seconds=[[0, 1]])
