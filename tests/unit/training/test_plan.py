from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from uss_ray.anchors.catalogue import CATALOGUE_SCHEMA, AnchorCatalogue
from uss_ray.errors import ConfigError, DataError
from uss_ray.training.plan import DrawPlan, counter_generator, lanes_of_worker
from uss_ray.training.recipe import PlanSettings

CLASSES = 527


def catalogue_of(sizes: list[int]) -> AnchorCatalogue:
    classes = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    groups = np.concatenate([np.zeros(0, np.int64), *(np.arange(size) // 16 for size in sizes)])
    lists = pa.ListArray.from_arrays(np.arange(len(classes) + 1, dtype=np.int32), classes)
    return AnchorCatalogue.of_table(
        pa.table(
            {
                "class_index": classes,
                "shard": np.zeros(len(classes), np.int64),
                "group": groups,
                "clip": np.arange(len(classes)),
                "label_indexes": lists,
                "heard_indexes": lists,
            }
        )
        .select(CATALOGUE_SCHEMA.names)
        .cast(CATALOGUE_SCHEMA),
        name="pack",
    )


@pytest.fixture(scope="module")
def audioset() -> AnchorCatalogue:
    """As many classes as AudioSet has, with 1 to 400 anchors each."""
    return catalogue_of(np.random.default_rng(0).integers(1, 400, CLASSES).tolist())


@pytest.mark.parametrize("lanes", [1, *(pytest.param(lanes, marks=pytest.mark.slow) for lanes in (4, 8)), 16])
def test_ten_thousand_items_are_spread_evenly_over_the_classes(audioset, lanes):
    plan = DrawPlan(audioset, settings=PlanSettings(batch_size=16, lanes=lanes))
    drawn = Counter(
        int(audioset.class_indexes[row])
        for step in range(625)
        for lane in range(lanes)
        for row in plan.anchors(step, lane)
    )
    assert len(drawn) == CLASSES
    assert max(drawn.values()) - min(drawn.values()) <= 0.2 * 10_000 / CLASSES


def test_a_step_is_the_same_whatever_was_asked_before(audioset):
    settings = PlanSettings(seed=3, batch_size=16, lanes=4)
    walked = DrawPlan(audioset, settings=settings)
    steps = {(step, lane): walked.anchors(step, lane) for step in range(60) for lane in range(4)}
    for key in ((59, 3), (0, 0), (17, 2)):
        assert (DrawPlan(audioset, settings=settings).anchors(*key) == steps[key]).all()
    assert len(DrawPlan(audioset, settings=settings).anchors(1_000_000_000, 1)) == 4


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_number_of_workers_makes_the_same_steps(audioset, workers):
    plan = DrawPlan(audioset, settings=PlanSettings(batch_size=16, lanes=4))
    taken = sorted(
        int(row)
        for worker in range(workers)
        for lane in lanes_of_worker(4, worker=worker, workers=workers)
        for row in plan.anchors(5, lane)
    )
    assert taken == sorted(int(row) for lane in range(4) for row in plan.anchors(5, lane))


@pytest.mark.parametrize("lane", [0, 1, 3])
def test_a_lane_takes_every_anchor_of_a_class_once_a_pass(lane):
    plan = DrawPlan(catalogue_of([37, 5]), settings=PlanSettings(batch_size=16, lanes=4))
    drawn = [plan.anchor(lane, number) for number in range(4 * 37)]
    of_class = [row for row in drawn if row < 37]
    assert len(of_class) == 74
    assert sorted(of_class[:37]) == sorted(of_class[37:]) == list(range(37))
    assert of_class[:37] != of_class[37:]


def test_anchors_of_a_row_group_follow_each_other():
    plan = DrawPlan(catalogue_of([160]), settings=PlanSettings(batch_size=2, lanes=1))
    groups = [plan.anchor(0, number) // 16 for number in range(160)]
    assert sum(one != other for one, other in pairwise(groups)) == 9


def test_lanes_are_at_different_anchors():
    plan = DrawPlan(catalogue_of([160]), settings=PlanSettings(batch_size=8, lanes=4))
    assert len({plan.anchor(lane, 0) // 16 for lane in range(4)}) == 4


def test_a_class_that_is_named_twice_is_drawn_twice_as_often():
    plan = DrawPlan(
        catalogue_of([20, 20, 20]), settings=PlanSettings(batch_size=4, lanes=1), classes=[0, 0, 1, 2]
    )
    drawn = [plan.anchor(0, number) for number in range(160)]
    assert Counter(row // 20 for row in drawn) == {0: 80, 1: 40, 2: 40}
    assert set(Counter(row for row in drawn if row < 20).values()) == {4}


def test_another_seed_is_another_plan(audioset):
    one, other = (
        DrawPlan(audioset, settings=PlanSettings(seed=seed, batch_size=64, lanes=1)).anchors(0, 0)
        for seed in (0, 1)
    )
    assert (one != other).any()


def test_a_class_without_anchors_is_refused():
    with pytest.raises(DataError, match="pack: expected anchors of class 9, found none"):
        DrawPlan(catalogue_of([4, 4]), settings=PlanSettings(batch_size=8), classes=[0, 9])


def test_lanes_share_a_step_out_evenly():
    with pytest.raises(ConfigError, match="batch_size: expected a multiple of the 8 lanes, found 12"):
        PlanSettings(batch_size=12, lanes=8)


def test_numbers_of_other_places_are_other_numbers():
    values = {counter_generator(0, *place).random() for place in (("a", 1), ("a", 2), ("b", 1), ("a", 1, 0))}
    assert len(values) == 4
    assert counter_generator(0, "a", 1).random() in values
