"""Probabilities and spans over time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from uss_ray.results.index.activity import ActivityLog, Loudness, Sounding
from uss_ray.results.index.table import ActiveSpan


@dataclasses.dataclass
class Segments:
    """Of some targets, detected as a whole and separated, unless said otherwise."""

    active: np.ndarray
    segment_spans_seconds: np.ndarray
    detected: np.ndarray = None  # type: ignore[assignment]
    sure: np.ndarray = None  # type: ignore[assignment]
    detected_spans: Sequence[np.ndarray] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.detected = self.active if self.detected is None else self.detected
        self.sure = np.zeros_like(self.active) if self.sure is None else self.sure
        if self.detected_spans is None:
            self.detected_spans = [
                np.array([[place, *span] for place in np.flatnonzero(flags)]).reshape(-1, 3)
                for flags, span in zip(self.detected, self.segment_spans_seconds, strict=True)
            ]


def add(
    log: ActivityLog,
    probs: npt.ArrayLike,
    *,
    active: npt.ArrayLike,
    spans_seconds: npt.ArrayLike,
    stem_probs: npt.ArrayLike | None = None,
    loudness: Loudness = Loudness.TAGGED,
    **others: Any,
) -> None:
    segments = Segments(np.asarray(active, bool), np.asarray(spans_seconds, float), **others)
    log.add(
        probs,
        sounding=Sounding.of(segments),
        active=active,
        spans_seconds=spans_seconds,
        stem_probs=np.full(np.shape(probs), np.nan) if stem_probs is None else stem_probs,
        loudness=loudness,
    )


def spans(n: int, *, start: int = 0, seconds: float = 2.0) -> np.ndarray:
    return (np.arange(start, start + n)[:, None] + [0, 1]) * seconds


def test_neighbouring_active_segments_make_one_span_cut_at_the_end() -> None:
    log = ActivityLog(["a", "b"])
    active = np.array([[1, 0], [1, 0], [0, 0], [1, 0]], bool)
    add(log, np.full((2, 2), 0.5), active=active[:2], spans_seconds=spans(2))
    add(log, [[0.5, 0.25], [0.75, 0.5]], active=active[2:], spans_seconds=spans(2, start=2))
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
        add(log, part, active=part > 0, spans_seconds=spans(len(part), start=first))
    activity = log.result(total_seconds=100.0)["a"]
    assert activity.column_seconds == 16.0
    assert activity.probabilities.tolist() == [0.5, 0.0, 0.0, 0.0, 0.0, 0.875, 0.0]


def test_overlapping_segments_merge() -> None:
    log = ActivityLog(["a"])
    add(log, [[1.0], [1.0]], active=[[True], [True]], spans_seconds=[[0.0, 2.0], [1.0, 3.0]])
    activity = log.result(total_seconds=3.0)["a"]
    assert activity.spans == (ActiveSpan(start_seconds=0.0, end_seconds=3.0),)
    assert activity.column_seconds == 1.0


def test_a_target_that_is_not_tagged_has_no_probability() -> None:
    log = ActivityLog(["a"], max_columns=2)
    add(log, np.full((5, 1), np.nan), active=np.ones((5, 1), bool), spans_seconds=spans(5))
    assert log.result(total_seconds=10.0)["a"].highest_probability is None


@pytest.mark.parametrize(
    ("loudness", "told"),
    [
        (["UNTAGGED", "UNTAGGED"], None),
        (["DIGITAL_SILENCE", "UNTAGGED"], None),
        (["UNTAGGED", "DIGITAL_SILENCE"], None),
        (["DIGITAL_SILENCE", "DIGITAL_SILENCE"], 0.0),
        (["UNTAGGED", "TAGGED"], 0.0),
        (["TAGGED", "UNTAGGED"], 0.0),
    ],
)
def test_sound_none_of_which_was_tagged_says_nothing_and_pauses_and_digital_silence_do(
    loudness: list[str], told: float | None
) -> None:
    log = ActivityLog(["a"])
    for number, name in enumerate(loudness):
        add(
            log,
            [[0.0]],
            active=[[False]],
            spans_seconds=spans(1, start=number),
            loudness=Loudness[name],
        )
    activity = log.result(total_seconds=4.0)["a"]
    assert activity.highest_probability == told
    np.testing.assert_array_equal(activity.probabilities, np.full(2, np.nan if told is None else told))


def test_segments_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        add(ActivityLog(["a", "b"]), [[0.5, 0.5, 0.5]], active=[[False] * 3], spans_seconds=[[0, 1]])


def test_what_is_detected_has_its_own_times_and_meets_over_the_border_of_segments() -> None:
    log = ActivityLog(["a"])
    times = [np.array([[0.0, 0.5, 1.0], [0.0, 1.5, 2.0]]), np.array([[0.0, 2.0, 2.25]])]
    add(log, [[0.5]] * 2, active=[[True]] * 2, spans_seconds=spans(2), detected_spans=times)
    found = log.result(total_seconds=4.0)["a"].spans
    assert [(span.start_seconds, span.end_seconds) for span in found] == [(0.5, 1.0), (1.5, 2.25)]


@pytest.mark.parametrize("with_separated", [False, True])
def test_what_was_separated_is_told_beside_what_is_detected_where_that_is_asked_for(with_separated) -> None:
    log = ActivityLog(["a", "b"], with_separated=with_separated)
    times = [np.array([[0.0, 0.5, 1.0]]), np.zeros((0, 3))]
    detected = np.array([[True, False], [False, False]])
    add(
        log,
        [[0.5, 0.0]] * 2,
        active=[[True, False]] * 2,
        spans_seconds=spans(2),
        detected=detected,
        detected_spans=times,
    )
    result = log.result(total_seconds=3.5)
    assert result["a"].spans == (ActiveSpan(start_seconds=0.5, end_seconds=1.0),)
    separated = (ActiveSpan(start_seconds=0.0, end_seconds=3.5),)
    assert result["a"].separated == (separated if with_separated else None)
    assert result["b"].separated == (() if with_separated else None)


def test_what_is_detected_and_never_separated_is_explained_by_something_more_specific() -> None:
    log = ActivityLog(["animal", "dog", "cat"])
    detected = np.array([[True, True, False], [True, False, False]])
    active = np.array([[False, True, False], [False, False, False]])
    for with_separated in (False, True):
        log = ActivityLog(["animal", "dog", "cat"], with_separated=with_separated)
        add(
            log,
            np.full((2, 3), 0.5),
            active=active,
            spans_seconds=spans(2),
            detected=detected,
            sure=detected & active,
        )
        result = log.result(total_seconds=4.0)
        assert result["animal"].spans == ()
        assert result.explained == {"animal": (ActiveSpan(start_seconds=0.0, end_seconds=4.0),)}
        assert [result[key].certainty for key in ("animal", "dog", "cat")] == ["doubtful", "sure", None]


def test_one_sure_segment_makes_it_sure_and_only_those_where_it_is_separated_count() -> None:
    log = ActivityLog(["animal"])
    add(
        log,
        np.full((3, 1), 0.5),
        active=[[True], [True], [False]],
        spans_seconds=spans(3),
        detected=np.array([[True], [False], [True]]),
        sure=np.array([[False], [False], [True]]),
    )
    result = log.result(total_seconds=6.0)
    assert (result["animal"].certainty, result.explained) == ("doubtful", {})


def test_a_name_is_as_probable_as_where_it_is_not_explained_by_a_more_specific_one() -> None:
    """Water at 0.9 where a stream is heard, and at 0.4 where nothing more specific is: the stem is of the latter."""
    log = ActivityLog(["water", "stream"])
    detected = np.array([[1, 1], [1, 0], [1, 1]], bool)
    add(
        log,
        [[0.9, 0.9], [0.4, 0.1], [0.8, 0.8]],
        active=[[0, 1], [1, 0], [0, 1]],
        detected=detected,
        sure=np.array([[1, 1], [0, 0], [1, 1]], bool),
        spans_seconds=spans(3),
    )
    result = log.result(total_seconds=6.0)
    assert result["water"].highest_probability == pytest.approx(0.4)
    assert result["water"].certainty == "doubtful"
    assert result["stream"].highest_probability == pytest.approx(0.9)


def test_the_highest_probability_in_the_stem_is_kept() -> None:
    log = ActivityLog(["a", "b"])
    nothing = np.nan
    add(log, [[0.3, 0.3]], active=[[True] * 2], spans_seconds=spans(1), stem_probs=[[0.25, nothing]])
    add(log, [[0.3, 0.3]], active=[[True] * 2], spans_seconds=spans(1, start=1), stem_probs=[[0.5, nothing]])
    result = log.result(total_seconds=4.0)
    assert (result["a"].stem_probability, result["b"].stem_probability) == (0.5, None)
