from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from uss_ray.separation.activity import find_activity
from uss_ray.separation.targets import Target

PROBS = np.array([[0.1, 0.6, 0.0], [0.2, 0.0, 0.9], [0.9, 0.9, 0.9]], dtype=np.float32)
HEARD = np.array([True, True, False])
PAIR = Target(key="pair", label="Pair", class_indexes=(0, 1))
LAST = Target(key="last", label="Last", class_indexes=(2,))


def test_a_target_is_as_probable_as_the_likeliest_of_its_classes() -> None:
    found = find_activity(PROBS, targets=[PAIR, LAST], audible=HEARD, threshold=0.5)
    np.testing.assert_array_equal(
        found.probs, np.array([[0.6, 0.0], [0.2, 0.9], [0.0, 0.0]], dtype=np.float32)
    )
    np.testing.assert_array_equal(found.active, [[True, False], [False, True], [False, False]])


def test_a_probability_at_the_threshold_is_active() -> None:
    found = find_activity(PROBS, targets=[PAIR], audible=HEARD, threshold=float(PROBS[1, 0]))
    assert found.active[:, 0].tolist() == [True, True, False]


def test_an_audio_query_is_active_wherever_there_is_sound_and_has_no_probability() -> None:
    query = Target(key="query:a", label="a", condition=torch.ones(3))
    found = find_activity(PROBS, targets=[query], audible=HEARD, threshold=0.5)
    assert found.active[:, 0].tolist() == HEARD.tolist()
    assert np.isnan(found.probs).all()


def test_excluded_classes_make_no_target_active_but_are_still_reported() -> None:
    found = find_activity(PROBS, targets=[PAIR, LAST], audible=HEARD, threshold=0.2, excluded_indexes=[1, 2])
    np.testing.assert_array_equal(found.active, [[False, False], [True, False], [False, False]])
    assert found.probs[0, 0] == np.float32(0.6)


def test_what_is_not_gated_is_active_wherever_there_is_sound_and_detected_where_it_is() -> None:
    targets = [PAIR, replace(PAIR, key="named", is_gated=False)]
    found = find_activity(PROBS, targets=targets, audible=HEARD, threshold=0.5)
    np.testing.assert_array_equal(found.active[:, 0], found.detected[:, 0])
    np.testing.assert_array_equal(found.active[:, 1], HEARD)
    np.testing.assert_array_equal(found.detected[:, 1], found.detected[:, 0])
    np.testing.assert_array_equal(found.probs[:, 1], found.probs[:, 0])


def test_what_is_excluded_whole_is_never_active_gated_or_not() -> None:
    named = replace(PAIR, is_gated=False)
    whole = find_activity(PROBS, targets=[named], audible=HEARD, threshold=0.5, excluded_indexes=[0, 1])
    assert not whole.active.any()
    part = find_activity(PROBS, targets=[named], audible=HEARD, threshold=0.5, excluded_indexes=[1])
    np.testing.assert_array_equal(part.active[:, 0], HEARD)


def test_what_the_weights_do_not_know_has_no_probability_and_opens_no_gate() -> None:
    unknown = replace(PAIR, is_known=False)
    targets = [unknown, replace(unknown, key="named", is_gated=False)]
    found = find_activity(PROBS, targets=targets, audible=HEARD, threshold=0.0)
    assert np.isnan(found.probs).all()
    assert not found.detected.any()
    assert not found.active[:, 0].any()
    np.testing.assert_array_equal(found.active[:, 1], HEARD)
