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


def as_they_are(
    seen: Observations, *, threshold: float = 0.3, calibration: tuple[ClassCalibration, ...] = ()
) -> Fitted:
    """What weights do that know four classes more than were seen."""
    most = int(seen.classes.max(initial=0))
    return Fitted.of_weights(calibration, classes=range(most + 5), threshold=threshold)


def test_the_line_that_was_laid_over_the_logits_is_found():
    seen = told(recordings=4000, classes=2, slope=2.0, offsets=[1.0, -1.5])
    fitted = fit(seen, Way("class", "one"), now=as_they_are(seen))
    for index, offset in enumerate((1.0, -1.5)):
        assert fitted.slopes[index] == pytest.approx(2.0, abs=0.2)
        assert fitted.offsets[index] == pytest.approx(offset, abs=0.25)


def test_where_classes_differ_a_line_a_class_is_chosen_and_one_threshold_is_enough():
    seen = told(recordings=600, classes=4, slope=1.0, offsets=[3.0, -3.0, 2.0, -2.0])
    scores = cross_validate(seen, now=as_they_are(seen))
    assert [score.way for score in scores] == list(WAYS)
    assert choose(scores).way == Way("class", "one")


@pytest.mark.parametrize("way", THRESHOLD_WAYS)
def test_thresholds_are_held_to_a_wanted_precision_and_find_most_at_it(way):
    seen = told(recordings=600, classes=3, slope=1.0, offsets=[1.0, -1.0, 0.0])
    best = judge(fit(seen, way, now=as_they_are(seen)), seen)
    sure = judge(fit(seen, way, now=as_they_are(seen), precision=0.8), seen)
    surer = judge(fit(seen, way, now=as_they_are(seen), precision=0.9), seen)
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
    seen = Observations.of_rows(rows)
    fitted = fit(seen, Way("none", "one"), now=as_they_are(seen), precision=0.9)
    assert fitted.thresholds[0] == pytest.approx(0.75)  # one of two is right


def test_thresholds_a_class_that_only_follow_chance_are_not_taken():
    """A dozen recordings: a threshold a class fits them better, and others worse."""
    seen = told(recordings=60, classes=40, slope=1.0, offsets=[0.0] * 40, share=0.15)
    scores = {score.way: score for score in cross_validate(seen, now=as_they_are(seen))}
    own = Way("none", "class")
    fitted = {way: judge(fit(seen, way, now=as_they_are(seen)), seen).f1 for way in (Way("none", "one"), own)}
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
    fitted = fit(seen, Way("class", "class"), now=as_they_are(seen))
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
    fitted = fit(seen, Way("none", "one"), now=as_they_are(seen, threshold=0.2))
    kept = fitted.of_classes()[0]
    assert kept.threshold == pytest.approx(fitted.thresholds[0], rel=1e-5)
    assert 10**-5.2 < kept.threshold < 10**-4.2
    stored = Fitted({0: kept.slope}, {0: kept.offset}, {0: kept.threshold})
    assert judge(stored, seen).f1 == judge(fitted, seen).f1 == 1.0


def test_a_class_with_hardly_an_example_has_the_line_and_threshold_of_all():
    seen = told(recordings=400, classes=3, slope=1.0, offsets=[1.0, 1.0, 1.0])
    seen.is_there[seen.classes == 2] = False
    fitted = fit(seen, Way("class", "class"), now=as_they_are(seen))
    everywhere = fit(seen, Way("one", "one"), now=as_they_are(seen))
    assert (fitted.slopes[2], fitted.offsets[2]) == (everywhere.slopes[2], everywhere.offsets[2])
    assert np.isfinite(judge(fitted, seen).log_loss)


def test_probabilities_of_0_and_1_are_no_trouble():
    rows = [(f"r{number}", 0, float(number % 2), number % 2 == 1) for number in range(40)]
    seen = Observations.of_rows(rows)
    fitted = fit(seen, Way("class", "one"), now=as_they_are(seen))
    assert fitted.found(seen).tolist() == [number % 2 == 1 for number in range(40)]


@pytest.mark.parametrize("rows", [[], [("a", 0, 0.5, True), ("b", 0, 0.2, False)]])
def test_too_little_to_judge_by_is_refused(rows):
    seen = Observations.of_rows(rows)
    with pytest.raises(DataError, match="in each of 5 shares of the recordings"):
        cross_validate(seen, now=as_they_are(seen))


def calibrated(seen: Observations, calibration: tuple[ClassCalibration, ...]) -> Observations:
    """The same truth, said by a tagger whose calibration makes the same probabilities of it."""
    lines = {one.class_index: one for one in calibration}
    slopes, offsets = (
        np.array([getattr(lines[index], name) for index in seen.classes.tolist()])
        for name in ("slope", "offset")
    )
    return Observations(
        seen.recordings, seen.classes, 1 / (1 + np.exp(-(seen.logits - offsets) / slopes)), seen.is_there
    )


BROUGHT = tuple(
    ClassCalibration(class_index=index, slope=0.5, offset=-0.5, threshold=0.1 * index + 0.1)
    for index in range(5)
)


def test_as_they_are_is_what_weights_do_with_the_calibration_that_they_bring():
    seen = told(recordings=300, classes=3, slope=1.0, offsets=[0.0] * 3)
    now = as_they_are(calibrated(seen, BROUGHT), calibration=BROUGHT)
    found = now.found(calibrated(seen, BROUGHT))
    assert found.tolist() == (seen.probs >= np.array([0.1, 0.2, 0.3])[seen.classes]).tolist()
    score = cross_validate(calibrated(seen, BROUGHT), now=now, ways=[NOW])[0]
    loss = -np.mean(np.log(np.where(seen.is_there, seen.probs, 1 - seen.probs)))
    assert score.log_loss == pytest.approx(loss)


def test_what_was_fitted_already_is_no_gain_the_second_time():
    seen = told(recordings=600, classes=4, slope=1.0, offsets=[3.0, -3.0, 2.0, -2.0])
    chosen = choose(cross_validate(seen, now=as_they_are(seen))).way
    brought = fit(seen, chosen, now=as_they_are(seen)).of_classes()
    again = cross_validate(seen, now=as_they_are(seen, calibration=brought))
    assert choose(again).way == NOW


@pytest.mark.parametrize("way", WAYS[1:])
def test_lines_are_fitted_on_top_of_those_that_weights_bring(way):
    plain = told(recordings=600, classes=3, slope=1.5, offsets=[1.0, -1.0, 0.0])
    seen = calibrated(plain, BROUGHT)
    fitted = fit(seen, way, now=as_they_are(seen, calibration=BROUGHT))
    np.testing.assert_allclose(fitted.probs(seen), fit(plain, way, now=as_they_are(plain)).probs(plain))


@pytest.mark.parametrize("way", WAYS)
def test_classes_that_nothing_was_said_of_keep_what_weights_bring_unless_one_threshold_is_for_all(way):
    plain = told(recordings=300, classes=3, slope=1.5, offsets=[1.0, -1.0, 0.0])
    seen = calibrated(plain, BROUGHT)
    other = ClassCalibration(class_index=9, slope=0.7)  # a class that nobody asks for
    now = as_they_are(seen, calibration=BROUGHT)
    kept = {one.class_index: one for one in fit(seen, way, now=now).of_classes(beside=(*BROUGHT, other))}
    assert kept[9] == other
    if way.thresholds != "one":
        assert kept.keys() == {0, 1, 2, 3, 4, 9}
        assert [kept[3], kept[4]] == [BROUGHT[3], BROUGHT[4]]
    else:
        assert kept.keys() == {*range(7), 9}
        assert len({kept[index].threshold for index in range(7)}) == 1
        line = fit(plain, Way("one", "one"), now=as_they_are(plain)).slopes[0] if way.lines != "none" else 1.0
        assert kept[3].slope == pytest.approx(0.5 * line, rel=1e-5)
        assert kept[6].slope == pytest.approx(line, rel=1e-5)
