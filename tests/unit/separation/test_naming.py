from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from uss_ray.separation.activity import find_activity
from uss_ray.separation.calibration import Calibration
from uss_ray.separation.naming import keep_names
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import Target

ANIMAL = Target("animal", "Animal", class_indexes=(0, 1, 2, 3), own_indexes=(0,), is_event=True,
                specific_keys=("pets", "dog", "cat"))  # fmt: skip
PETS = Target("pets", "Pets", class_indexes=(1, 2, 3), own_indexes=(1,), is_event=True,
              specific_keys=("dog", "cat"))  # fmt: skip
DOG = Target("dog", "Dog", class_indexes=(2,), own_indexes=(2,), is_event=True)
CAT = Target("cat", "Cat", class_indexes=(3,), own_indexes=(3,), is_event=True)
TARGETS = (ANIMAL, PETS, DOG, CAT)


def names(*segments: tuple[float, float, float, float], reach: int, **options: object) -> list[str]:
    """What is separated in each segment, of probabilities of the four classes."""
    probs = np.array(segments, np.float32)
    calibration = Calibration(SeparationSettings(threshold=0.3), classes=4)
    found = find_activity(
        probs,
        targets=TARGETS,
        audible=np.ones(len(probs), np.bool_),
        calibration=calibration,
        segment_seconds=2.0,
        names_reach=reach,
        **options,  # type: ignore[arg-type]
    )
    return ["+".join(TARGETS[column].key for column in np.flatnonzero(row)) for row in found.active]


A_DOG = (0.9, 0.4, 0.4, 0.0)
AN_ANIMAL = (0.8, 0.1, 0.2, 0.1)
A_CAT = (0.9, 0.0, 0.0, 0.6)
NOTHING = (0.1, 0.0, 0.2, 0.0)


def test_a_segment_without_the_specific_name_tears_an_event_only_without_reach() -> None:
    event = (A_DOG, AN_ANIMAL, A_DOG, AN_ANIMAL, AN_ANIMAL)
    assert names(*event, reach=0) == ["dog", "animal", "dog", "animal", "animal"]
    assert names(*event, reach=1) == ["dog", "dog", "dog", "dog", "animal"]
    assert names(*event, reach=2) == ["dog"] * 5


def test_a_name_does_not_cross_a_pause() -> None:
    assert names(A_DOG, NOTHING, AN_ANIMAL, reach=5) == ["dog", "", "animal"]


def test_the_nearest_name_is_kept_and_of_two_the_more_probable() -> None:
    assert names(A_CAT, AN_ANIMAL, AN_ANIMAL, A_DOG, reach=3) == ["cat", "cat", "dog", "dog"]
    assert names(A_CAT, AN_ANIMAL, A_DOG, reach=3) == ["cat", "dog", "dog"]


def test_what_lies_between_two_names_is_detected_as_well() -> None:
    detected = np.array([[True, True, True, False], [True, False, False, False]])
    probs = np.full((2, 4), 0.5, np.float32)
    kept = keep_names(detected, probs=probs, targets=TARGETS, reach=1)
    assert {(segment, TARGETS[column].key) for segment, column, _ in kept} == {(1, "dog"), (1, "pets")}
    assert {other for *_, other in kept} == {0}


def test_nodes_of_levels_keep_no_names() -> None:
    levels = tuple(Target(one.key, one.label, level=1, class_indexes=one.class_indexes) for one in TARGETS)
    detected = np.array([[True, True, True, False], [True, False, False, False]])
    assert keep_names(detected, probs=np.ones((2, 4), np.float32), targets=levels, reach=3) == []


def test_an_excluded_class_is_no_name() -> None:
    assert names(A_DOG, AN_ANIMAL, reach=2, excluded_indexes=[2]) == ["pets", "pets"]
    assert names((0.9, 0.0, 0.4, 0.0), AN_ANIMAL, reach=2, excluded_indexes=[2]) == ["animal", "animal"]


def test_a_kept_name_sounds_where_what_is_detected_in_its_place_does() -> None:
    frames = np.zeros((2, 21, 4), np.float32)
    frames[0, :, 2] = 0.9
    frames[1, :11, 0] = 0.9
    found = find_activity(
        np.array([A_DOG, AN_ANIMAL], np.float32),
        targets=TARGETS,
        audible=np.ones(2, np.bool_),
        calibration=Calibration(SeparationSettings(threshold=0.3), classes=4),
        segment_seconds=2.0,
        frame_probs=frames,
        names_reach=1,
    )
    of_dog = found.spans[1][found.spans[1][:, 0] == 2]
    np.testing.assert_allclose(of_dog, [[2, 0.0, 1.05]])
    assert found.probs[1, 2] == np.float32(0.2), "the probability is what the tagger said"


@pytest.mark.parametrize("reach", [1, 3])
def test_what_is_told_of_a_segment_depends_on_its_neighbours_within_reach_alone(reach: int) -> None:
    rng = np.random.default_rng(5)
    probs: NDArray[np.float32] = rng.uniform(0.0, 0.6, (40, 4)).astype(np.float32)
    detected = probs >= 0.3
    detected[:, 0] = detected[:, 1] = detected.any(axis=1)
    whole = set(keep_names(detected, probs=probs, targets=TARGETS, reach=reach))
    assert whole
    for first in range(reach, 30):
        part = slice(first - reach, first + 5 + reach)
        kept = keep_names(detected[part], probs=probs[part], targets=TARGETS, reach=reach)
        moved = {(segment + part.start, *rest) for segment, *rest in kept}
        inside = range(first, first + 5)
        assert {one for one in moved if one[0] in inside} == {one for one in whole if one[0] in inside}
