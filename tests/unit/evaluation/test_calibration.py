from __future__ import annotations

import numpy as np
import pytest

from uss_ray.errors import DataError
from uss_ray.evaluation.calibration import (
    NOW,
    THRESHOLD_WAYS,
    WAYS,
    Fitted,
    Observations,
    Score,
    Way,
    choose,
    cross_validate,
    fit,
    judge,
)
from uss_ray.models.specifications import ClassCalibration


def told(
    *, recordings: int, classes: int, slope: float, offsets: list[float], share: float = 0.3
) -> Observations:
    """A tagger whose logits are right but for a line: the truth is drawn from what a calibration would say."""
    rng = np.random.default_rng(7)
    logits = rng.normal(np.log(share / (1 - share)), 1.5, (recordings, classes))
    true = 1 / (1 + np.exp(-logits))
    probs = 1 / (1 + np.exp(-(logits - np.array(offsets)) / slope))
    is_there = rng.uniform(size=true.shape) < true
    names = np.repeat([f"r{number}" for number in range(recordings)], classes)
    indexes = np.tile(np.arange(classes), recordings)
    return Observations(names, indexes, probs.reshape(-1), is_there.reshape(-1))


def test_the_line_that_was_laid_over_the_logits_is_found():
    seen = told(recordings=4000, classes=2, slope=2.0, offsets=[1.0, -1.5])
    fitted = fit(seen, Way("class", "one"), given_threshold=0.3)
    for index, offset in enumerate((1.0, -1.5)):
        assert fitted.slopes[index] == pytest.approx(2.0, abs=0.2)
        assert fitted.offsets[index] == pytest.approx(offset, abs=0.25)


def test_where_classes_differ_a_line_a_class_is_chosen_and_one_threshold_is_enough():
    seen = told(recordings=600, classes=4, slope=1.0, offsets=[3.0, -3.0, 2.0, -2.0])
    scores = cross_validate(seen, given_threshold=0.3)
    assert [score.way for score in scores] == list(WAYS)
    assert choose(scores).way == Way("class", "one")


@pytest.mark.parametrize("way", THRESHOLD_WAYS)
def test_thresholds_are_held_to_a_wanted_precision_and_find_most_at_it(way):
    seen = told(recordings=600, classes=3, slope=1.0, offsets=[1.0, -1.0, 0.0])
    best = judge(fit(seen, way, given_threshold=0.3), seen)
    sure = judge(fit(seen, way, given_threshold=0.3, precision=0.8), seen)
    surer = judge(fit(seen, way, given_threshold=0.3, precision=0.9), seen)
    assert best.precision < 0.8 <= sure.precision < 0.85
    assert 0.9 <= surer.precision < 0.95
    assert best.recall > sure.recall > surer.recall > 0.05


def test_a_precision_that_nothing_has_is_come_near_to():
    rows = [
        ("a", 0, 0.9, False),
        ("a", 1, 0.8, True),
        ("b", 0, 0.7, False),
        ("b", 1, 0.6, True),
        ("c", 0, 0.1, False),
    ]
    fitted = fit(Observations.of_rows(rows), Way("none", "one"), given_threshold=0.3, precision=0.9)
    assert fitted.thresholds[0] == pytest.approx(0.75)  # one of two is right


def test_thresholds_a_class_that_only_follow_chance_are_not_taken():
    """A dozen recordings: a threshold a class fits them better, and others worse."""
    seen = told(recordings=60, classes=40, slope=1.0, offsets=[0.0] * 40, share=0.15)
    scores = {score.way: score for score in cross_validate(seen, given_threshold=0.3)}
    own = Way("none", "class")
    fitted = {way: judge(fit(seen, way, given_threshold=0.3), seen).f1 for way in (Way("none", "one"), own)}
    assert fitted[own] > fitted[Way("none", "one")]
    assert scores[own].f1 < scores[Way("none", "one")].f1
    assert choose(list(scores.values())).way.thresholds != "class"


def test_the_simplest_way_stays_unless_another_is_better_by_more_than_chance():
    def score(way: Way, f1: list[float], loss: list[float]) -> Score:
        return Score(way, 0.5, 0.5, float(np.mean(f1)), float(np.mean(loss)), tuple(f1), tuple(loss))

    now = score(NOW, [0.5, 0.6, 0.4, 0.5, 0.5], [0.3] * 5)
    lucky = score(Way("none", "class"), [0.9, 0.5, 0.3, 0.5, 0.5], [0.3] * 5)
    truer = score(Way("one", "one"), [0.5, 0.6, 0.4, 0.5, 0.5], [0.2] * 5)
    truer_but_worse = score(Way("class", "one"), [0.4, 0.5, 0.3, 0.4, 0.4], [0.1] * 5)
    assert choose([now, lucky]) is now
    assert choose([now, truer]) is truer
    assert choose([now, truer_but_worse]) is now


def test_what_is_fitted_travels_as_what_weights_keep():
    seen = told(recordings=300, classes=3, slope=1.5, offsets=[1.0, 0.0, -1.0])
    fitted = fit(seen, Way("class", "class"), given_threshold=0.3)
    kept = fitted.of_classes()
    assert all(isinstance(one, ClassCalibration) for one in kept)
    assert [one.class_index for one in kept] == [0, 1, 2]
    assert all(0 < (one.threshold or 0) < 1 for one in kept)


def test_a_small_threshold_that_weights_keep_tells_what_is_there_from_what_is_not():
    rng = np.random.default_rng(0)
    is_there = np.arange(400) % 10 == 0
    probs = 10 ** np.where(is_there, rng.uniform(-4.6, -4.2, 400), rng.uniform(-7, -5.2, 400))
    names = np.array([f"r{number}" for number in range(400)])
    seen = Observations(names, np.zeros(400, np.int64), probs, is_there)
    fitted = fit(seen, Way("none", "one"), given_threshold=0.2)
    [kept] = fitted.of_classes()
    assert kept.threshold == pytest.approx(fitted.thresholds[0], rel=1e-5)
    assert 10**-5.2 < kept.threshold < 10**-4.2
    stored = Fitted({0: kept.slope}, {0: kept.offset}, {0: kept.threshold})
    assert judge(stored, seen).f1 == judge(fitted, seen).f1 == 1.0


def test_a_class_with_hardly_an_example_has_the_line_and_threshold_of_all():
    seen = told(recordings=400, classes=3, slope=1.0, offsets=[1.0, 1.0, 1.0])
    seen.is_there[seen.classes == 2] = False
    fitted = fit(seen, Way("class", "class"), given_threshold=0.3)
    everywhere = fit(seen, Way("one", "one"), given_threshold=0.3)
    assert (fitted.slopes[2], fitted.offsets[2]) == (everywhere.slopes[2], everywhere.offsets[2])
    assert np.isfinite(judge(fitted, seen).log_loss)


def test_probabilities_of_0_and_1_are_no_trouble():
    rows = [(f"r{number}", 0, float(number % 2), number % 2 == 1) for number in range(40)]
    fitted = fit(Observations.of_rows(rows), Way("class", "one"), given_threshold=0.3)
    assert fitted.found(Observations.of_rows(rows)).tolist() == [number % 2 == 1 for number in range(40)]


@pytest.mark.parametrize("rows", [[], [("a", 0, 0.5, True), ("b", 0, 0.2, False)]])
def test_too_little_to_judge_by_is_refused(rows):
    with pytest.raises(DataError, match="in each of 5 shares of the recordings"):
        cross_validate(Observations.of_rows(rows), given_threshold=0.3)
