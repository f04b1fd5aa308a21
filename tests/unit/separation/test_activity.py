from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uss_ray.models.specifications import ClassCalibration
from uss_ray.separation.activity import Activity, find_activity
from uss_ray.separation.calibration import Calibration
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import Target

PROBS = np.array([[0.1, 0.6, 0.0], [0.2, 0.0, 0.9], [0.9, 0.9, 0.9]], dtype=np.float32)
HEARD = np.array([True, True, False])
PAIR = Target(key="pair", label="Pair", class_indexes=(0, 1))
LAST = Target(key="last", label="Last", class_indexes=(2,))


def activity(
    probs: NDArray[np.float32],
    *,
    threshold: float,
    of_weights: Sequence[ClassCalibration] = (),
    **options: Any,
) -> Activity:
    settings = SeparationSettings(threshold=threshold)
    calibration = Calibration(settings, classes=probs.shape[-1], of_weights=of_weights)
    return find_activity(probs, calibration=calibration, segment_seconds=2.0, **options)


def test_a_target_is_as_probable_as_the_likeliest_of_its_classes() -> None:
    found = activity(PROBS, targets=[PAIR, LAST], audible=HEARD, threshold=0.5)
    np.testing.assert_array_equal(
        found.probs, np.array([[0.6, 0.0], [0.2, 0.9], [0.0, 0.0]], dtype=np.float32)
    )
    np.testing.assert_array_equal(found.active, [[True, False], [False, True], [False, False]])


def test_a_probability_at_the_threshold_is_active() -> None:
    found = activity(PROBS, targets=[PAIR], audible=HEARD, threshold=float(PROBS[1, 0]))
    assert found.active[:, 0].tolist() == [True, True, False]


def test_an_audio_query_is_active_wherever_there_is_sound_and_has_no_probability() -> None:
    query = Target(key="query:a", label="a", condition=torch.ones(3))
    found = activity(PROBS, targets=[query], audible=HEARD, threshold=0.5)
    assert found.active[:, 0].tolist() == HEARD.tolist()
    assert np.isnan(found.probs).all()


def test_excluded_classes_make_no_target_active_and_are_no_part_of_its_probability() -> None:
    found = activity(PROBS, targets=[PAIR, LAST], audible=HEARD, threshold=0.2, excluded_indexes=[1, 2])
    np.testing.assert_array_equal(found.active, [[False, False], [True, False], [False, False]])
    left = np.where(HEARD, PROBS[:, PAIR.class_indexes[0]], 0.0)
    np.testing.assert_array_equal(found.probs[:, 0], left)
    assert (found.probs[~found.detected[:, 0], 0] < 0.2).all(), (
        "what is absent has no probability of one that is there"
    )


def test_what_is_not_gated_is_active_wherever_there_is_sound_and_detected_where_it_is() -> None:
    targets = [PAIR, replace(PAIR, key="named", is_gated=False)]
    found = activity(PROBS, targets=targets, audible=HEARD, threshold=0.5)
    np.testing.assert_array_equal(found.active[:, 0], found.detected[:, 0])
    np.testing.assert_array_equal(found.active[:, 1], HEARD)
    np.testing.assert_array_equal(found.detected[:, 1], found.detected[:, 0])
    np.testing.assert_array_equal(found.probs[:, 1], found.probs[:, 0])


def test_what_is_excluded_whole_is_never_active_gated_or_not() -> None:
    named = replace(PAIR, is_gated=False)
    whole = activity(PROBS, targets=[named], audible=HEARD, threshold=0.5, excluded_indexes=[0, 1])
    assert not whole.active.any()
    part = activity(PROBS, targets=[named], audible=HEARD, threshold=0.5, excluded_indexes=[1])
    np.testing.assert_array_equal(part.active[:, 0], HEARD)


def test_what_the_weights_do_not_know_has_no_probability_and_opens_no_gate() -> None:
    unknown = replace(PAIR, is_known=False)
    targets = [unknown, replace(unknown, key="named", is_gated=False)]
    found = activity(PROBS, targets=targets, audible=HEARD, threshold=0.0)
    assert np.isnan(found.probs).all()
    assert not found.detected.any()
    assert not found.active[:, 0].any()
    np.testing.assert_array_equal(found.active[:, 1], HEARD)


def test_a_calibrated_class_has_its_own_probability_threshold_and_certainty() -> None:
    own = [ClassCalibration(class_index=1, offset=2.0)]
    found = activity(PROBS, targets=[PAIR], audible=HEARD, threshold=0.5, of_weights=own)
    assert found.probs[0, 0] == np.float32(1 / (1 + np.exp(-(np.log(0.6 / 0.4) + 2.0))))
    settings = SeparationSettings(sure_probability=0.95)
    calibration = Calibration(
        settings, classes=3, of_weights=[ClassCalibration(class_index=1, threshold=0.7)]
    )
    found = find_activity(
        PROBS, targets=[PAIR, LAST], audible=HEARD, calibration=calibration, segment_seconds=2.0
    )
    np.testing.assert_array_equal(found.detected, [[False, False], [True, True], [False, False]])
    assert not found.sure.any()


def test_what_is_probable_enough_is_sure_where_it_is_detected() -> None:
    found = activity(PROBS, targets=[PAIR, LAST], audible=HEARD, threshold=0.2)
    np.testing.assert_array_equal(found.sure, [[True, False], [False, True], [False, False]])
    np.testing.assert_array_equal(found.detected, [[True, False], [True, True], [False, False]])


# The most specific

ABOVE = Target(
    key="above", label="Above", class_indexes=(0, 1, 2), is_event=True, specific_keys=("pair", "last")
)


def test_what_a_more_specific_target_explains_is_detected_and_not_separated() -> None:
    probs = np.array([[0.1, 0.6, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 0.9]], np.float32)
    # A class of its own, which belongs to nothing more specific.
    probs = np.concatenate([probs, np.array([[0.9], [0.9], [0.0]], np.float32)], axis=1)
    above = replace(ABOVE, class_indexes=(0, 1, 2, 3))
    found = activity(probs, targets=[above, PAIR, LAST], audible=np.ones(3, bool), threshold=0.5)
    np.testing.assert_array_equal(found.detected[:, 0], [True, True, True])
    np.testing.assert_array_equal(
        found.active, [[False, True, False], [True, False, False], [False, False, True]]
    )


def test_what_nothing_steers_to_is_detected_and_leaves_its_sound_to_what_is_above() -> None:
    heard_alone = replace(LAST, is_separable=False)
    probs = np.array([[0.0, 0.0, 0.9], [0.6, 0.0, 0.9]], np.float32)
    found = activity(probs, targets=[ABOVE, PAIR, heard_alone], audible=np.ones(2, bool), threshold=0.5)
    np.testing.assert_array_equal(found.detected[:, 2], [True, True])
    np.testing.assert_array_equal(found.active, [[True, False, False], [False, True, False]])


def test_what_was_asked_for_by_name_is_separated_whatever_explains_it() -> None:
    named = replace(ABOVE, is_gated=False)
    found = activity(PROBS, targets=[named, PAIR], audible=HEARD, threshold=0.5)
    np.testing.assert_array_equal(found.active[:, 0], HEARD)


def test_excluded_classes_explain_nothing() -> None:
    found = activity(PROBS, targets=[ABOVE, PAIR], audible=HEARD, threshold=0.2, excluded_indexes=[0, 1])
    np.testing.assert_array_equal(found.active, [[False, False], [True, False], [False, False]])


def test_of_tags_alone_what_is_active_is_detected_and_would_have_been_separated() -> None:
    named = replace(LAST, is_gated=False)
    found = activity(PROBS, targets=[ABOVE, PAIR, named], audible=HEARD, threshold=0.5).without_estimates()
    np.testing.assert_array_equal(found.active, [[False, True, False], [False, False, True], [False] * 3])


# Times


def frames_of(*heard: float, frames: int = 21) -> NDArray[np.float32]:
    """One segment of 2 s: class 1 has a probability of 0.9 at some frames of 0.1 s."""
    probs = np.zeros((1, frames, 3), np.float32)
    probs[0, np.rint(np.array(heard) * (frames - 1) / 2).astype(int), 1] = 0.9
    return probs


def times(frame_probs: NDArray[np.float32] | None, *, threshold: float = 0.5) -> list[list[float]]:
    found = activity(
        PROBS[:1], targets=[LAST, PAIR], audible=HEARD[:1], threshold=threshold, frame_probs=frame_probs
    )
    assert all(span[0] == 1 for span in found.spans[0]), "the last target is not detected"
    spans: list[list[float]] = found.spans[0][:, 1:].tolist()
    return spans


def test_without_frames_a_sound_fills_its_segment() -> None:
    assert times(None) == [[0.0, 2.0]]


def test_a_frame_reaches_half_way_to_the_next_and_never_out_of_the_segment() -> None:
    assert times(frames_of(1.0)) == [[0.95, 1.05]]
    assert times(frames_of(0.0)) == [[0.0, 0.05]]
    assert times(frames_of(2.0)) == [[1.95, 2.0]]


def test_short_gaps_are_closed_and_long_ones_are_not() -> None:
    assert times(frames_of(0.5, 0.9)) == [[0.45, 0.95]]
    assert times(frames_of(0.5, 1.0)) == [[0.45, 0.55], [0.95, 1.05]]


def test_frames_count_from_a_quarter_of_the_threshold_on() -> None:
    soft = frames_of(1.0)
    soft[0, 11, 1] = 0.2
    soft[0, 12, 1] = 0.1
    assert times(soft, threshold=0.5) == [[0.95, 1.15]]


def test_what_no_frame_tells_of_fills_its_segment() -> None:
    assert times(frames_of()) == [[0.0, 2.0]]


def test_segments_are_set_end_to_end_and_cut_with_all_that_is_known_of_them() -> None:
    found = activity(PROBS, targets=[PAIR, LAST], audible=HEARD, threshold=0.2)
    again = Activity.none(2).then(found.cut(slice(0, 1))).then(found.cut(slice(1, None)))
    for name in ("probs", "detected", "sure", "active", "stem_probs"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name), err_msg=name)
    assert [len(spans) for spans in again.spans] == [1, 2, 0]


def test_an_event_takes_more_to_be_there_unless_a_threshold_is_asked_for() -> None:
    probs = np.array([[0.25, 0.0, 0.0], [0.35, 0.0, 0.0]], np.float32)
    targets = [PAIR, replace(PAIR, key="event", is_event=True)]
    for threshold, expected in ((None, [[True, False], [True, True]]), (0.2, [[True, True], [True, True]])):
        calibration = Calibration(SeparationSettings(threshold=threshold), classes=3)
        found = find_activity(
            probs,
            targets=targets,
            audible=np.ones(2, bool),
            calibration=calibration,
            segment_seconds=2.0,
        )
        np.testing.assert_array_equal(found.detected, expected)
