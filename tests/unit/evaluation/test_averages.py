from __future__ import annotations

import numpy as np
import pytest

from uss_ray.evaluation.averages import (
    Average,
    average_of_draws,
    class_median_mean,
    median,
    paired_difference,
    plain_mean,
)


def test_a_figure_is_the_mean_of_medians_and_its_interval_is_that_of_the_normal_law() -> None:
    rng = np.random.default_rng(0)
    values = {label: rng.normal(5 + place, 1.0, 400).tolist() for place, label in enumerate("abc")}
    found = class_median_mean(values)
    assert found.value == pytest.approx(np.mean([np.median(own) for own in values.values()]))
    assert found.items == 1200
    # the error of a median is 1.2533 σ/√n, of a mean of three of them 1/√3 of it
    width = 2 * 1.96 * 1.2533 / np.sqrt(400) / np.sqrt(3)
    assert found.high - found.low == pytest.approx(width, rel=0.25)
    plain = plain_mean(values["a"])
    assert plain.high - plain.low == pytest.approx(2 * 1.96 / np.sqrt(400), rel=0.15)
    assert plain == plain_mean(values["a"])


def test_a_median_is_that_of_numpy_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 10):
        values = rng.normal(size=(50, count))
        np.testing.assert_array_equal(median(values, axis=1), np.median(values, axis=1))
        assert median(values[0]) == np.median(values[0])


def test_nothing_has_no_figure_and_one_item_no_interval() -> None:
    alone = class_median_mean({"a": [1.0]})
    assert (alone.value, alone.low, alone.items) == (1.0, None, 1)
    assert class_median_mean({"a": []}).value is None
    assert plain_mean([]).value is None


@pytest.mark.parametrize(
    "sizes",
    [
        (1,) * 40,
        (1,) * 60 + (2,) * 12 + (3,) * 8,
        (2,) * 30,
        (1, *(6,) * 20),
        (30,) * 4,
        (10, 10, 10, 1),
        (30, 30, 1),
        (30, 1),
        (10, 10, 10, 1, 1, 1, 1),
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say_however_few_items_a_class_has(
    sizes: tuple[int, ...],
) -> None:
    rng = np.random.default_rng(0)
    held = paired = 0
    for _ in range(60):
        truth = rng.normal(0, 2.0, len(sizes))
        one = {f"{place:03d}": rng.normal(truth[place], 3.0, count) for place, count in enumerate(sizes)}
        other = {label: own + rng.normal(1.0, 2.0, len(own)) for label, own in one.items()}
        found, difference = class_median_mean(one, draws=200), paired_difference(one, other)
        held += found.low <= truth.mean() <= found.high
        paired += difference.low <= 1.0 <= difference.high
    assert held >= 53  # of 60; drawn within classes alone, 24 where most have one item
    assert paired >= 53


def test_pairs_tell_what_intervals_of_their_own_do_not() -> None:
    rng = np.random.default_rng(0)
    one = {label: rng.normal(5, 3.0, 50) for label in "ab"}
    other = {label: own + 0.2 for label, own in one.items()}
    found = paired_difference(one, other)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    assert class_median_mean(one).high > class_median_mean(other).low


def test_a_figure_that_is_in_no_draw_has_no_interval() -> None:
    assert average_of_draws(np.array([[0.5, np.nan, np.nan]])) == Average(value=0.5, items=1)
    assert average_of_draws(np.array([[np.nan, 0.5, 0.4]])) == Average()


def test_a_class_of_one_item_makes_an_interval_wider_and_equal_runs_no_better_or_worse() -> None:
    rng = np.random.default_rng(0)
    wider = decided = 0
    for _ in range(60):
        one = {label: rng.normal(size=count) for label, count in (("a", 30), ("b", 30), ("c", 1))}
        nothing = {label: np.zeros(len(own)) for label, own in one.items()}
        whole = class_median_mean(one, draws=200)
        large = class_median_mean({label: one[label] for label in "ab"}, draws=200)
        wider += whole.high - whole.low > 1.5 * (large.high - large.low)
        difference = paired_difference(nothing, one)
        decided += not difference.low <= 0.0 <= difference.high
    assert wider >= 55
    assert decided <= 7  # 27 of 60 where the lone one borrowed how far the medians of the others lie apart


def test_an_interval_holds_its_figure_where_scores_are_skewed() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        skewed = {
            f"{label}": 10 - rng.lognormal(sigma=1.2, size=5 if label < 60 else 1) for label in range(120)
        }
        average = class_median_mean(skewed, draws=200)
        assert average.low < average.value < average.high
