from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.evaluation.test_result import result_of, row
from uss_ray.errors import DataError
from uss_ray.evaluation.compare import compare_runs
from uss_ray.evaluation.rows import RANDOM_CLASS, TAGS, ScoreRow

ROWS = [row(f"{label}/{number}", float(number)) for label in "ab" for number in range(20)]


def test_a_small_difference_of_the_same_items_is_seen_and_the_undefined_left_out() -> None:
    better = [replace(one, scores={"sdri": one.scores["sdri"] + 0.1}) for one in ROWS]
    better[3] = replace(better[3], scores={}, undefined=("sdri",))
    [found] = compare_runs((result_of(ROWS), result_of(better)), (ROWS, better), measure="sdri")
    assert (found.difference.items, found.only_one, found.only_other) == (39, 1, 0)
    assert found.difference.value == pytest.approx(0.1)
    assert found.verdict == "better"
    [back] = compare_runs((result_of(better), result_of(ROWS)), (better, ROWS), measure="sdri")
    assert back.verdict == "worse"
    [same] = compare_runs((result_of(ROWS), result_of(ROWS)), (ROWS, ROWS), measure="sdri")
    assert same.verdict == "undecided"


def test_what_is_of_scenes_is_compared_by_its_mean() -> None:
    def of(*values: float) -> list[ScoreRow]:
        return [
            replace(row(f"level-3/{place}", None), scores={"ca_sdri": value}, undefined=())
            for place, value in enumerate(values)
        ]

    low, high = (
        [replace(one, scores={"residual": one.scores["ca_sdri"]}) for one in of(*values)]
        for values in ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    )
    [worse] = compare_runs((result_of(low), result_of(high)), (low, high), measure="residual")
    assert worse.verdict == "worse"  # more is left over

    one, other = of(0.0, 0.0, 3.0), of(0.0, 1.0, 4.0)
    [found] = compare_runs((result_of(one), result_of(other)), (one, other), measure="ca_sdri")
    assert (found.one.value, found.other.value) == pytest.approx((1.0, 5 / 3))
    assert found.difference.value == pytest.approx(2 / 3)


@pytest.mark.parametrize(("query", "verdict"), [(RANDOM_CLASS, "worse"), ("class-mean", "different")])
def test_more_of_what_is_not_there_is_worse_and_the_level_of_a_target_is_no_merit(
    query: str, verdict: str
) -> None:
    quiet, loud = (
        [replace(one, query=query, scores={"level": level + 0.1 * one.scores["sdri"]}) for one in ROWS]
        for level in (-40.0, -10.0)
    )
    [found] = compare_runs((result_of(quiet), result_of(loud)), (quiet, loud), measure="level")
    assert found.difference.value == pytest.approx(30.0)
    assert found.verdict == verdict
    [same] = compare_runs((result_of(quiet), result_of(quiet)), (quiet, quiet), measure="level")
    assert same.verdict == "undecided"


def test_d_primes_are_compared_by_the_classes_for_which_both_runs_have_one() -> None:
    rng = np.random.default_rng(1)
    rows: tuple[list[ScoreRow], list[ScoreRow]] = ([], [])
    for number in range(40):
        has = {"x": number % 2 == 0, "y": number % 4 < 2}
        fair = rng.normal() + 0.9 * has["y"]
        # The first tells x from what is no x without a fault, which has no d′; the second errs twice, and more of y.
        x = 0.9 if has["x"] else 0.1
        told = (
            {"x": x, "y": fair, "u": fair},
            {"x": 1 - x if number < 2 else x, "y": fair + 0.25 * rng.normal() - 0.35 * has["y"]},
        )
        true = tuple(name for name in has if has[name]) + (("u",) if number % 3 else ())
        for own, probs in zip(rows, told, strict=True):
            own.append(
                replace(row(f"{TAGS}/{number}", None, query=TAGS), undefined=(), probs=probs, true=true)
            )
    results = (result_of(rows[0]), result_of(rows[1]))
    [found] = compare_runs(results, rows, measure="d_prime")
    assert (found.one.items, found.other.items, found.difference.items) == (1, 1, 1)
    assert found.other.value - found.one.value == pytest.approx(found.difference.value)
    assert found.difference.value < 0.0
    assert (found.only_one, found.only_other) == (1, 1)  # u, which the second does not know, and x
    [found] = compare_runs(results, rows, measure="map")
    assert found.other.value - found.one.value == pytest.approx(found.difference.value)
    assert (found.one.items, found.difference.items, found.only_one, found.only_other) == (2, 2, 1, 0)
    lost = [replace(one, reason="cut off") for one in rows[1]]
    [found] = compare_runs(results, (rows[0], lost), measure="d_prime")
    assert (found.one.value, found.difference.items, found.verdict) == (None, 0, "undecided")


def test_runs_of_other_lists_or_without_a_measure_in_common_are_refused() -> None:
    with pytest.raises(DataError, match="expected one list"):
        compare_runs((result_of(ROWS), result_of(ROWS, protocol="strict")), (ROWS, ROWS), measure="sdri")
    with pytest.raises(DataError, match="expected a system with pesq in both"):
        compare_runs((result_of(ROWS), result_of(ROWS)), (ROWS, ROWS), measure="pesq")
