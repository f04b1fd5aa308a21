from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from uss_ray.anchors.catalogue import CATALOGUE_SCHEMA, AnchorCatalogue, Lists
from uss_ray.errors import ConfigError
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.training.mixing import MixturePlan
from uss_ray.training.plan import DrawPlan
from uss_ray.training.recipe import ConditionShares, MixtureSettings, PlanSettings


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture(scope="module")
def audioset(vocabulary: Vocabulary) -> AnchorCatalogue:
    """Clips with two or three labels, and anchors in which up to six further classes are heard."""
    rng = np.random.default_rng(0)
    rows = []
    for index in range(527):
        for number in range(int(rng.integers(2, 40))):
            labels = sorted({index, *rng.integers(0, 527, 2).tolist()})
            heard = sorted({index, *rng.integers(0, 527, int(rng.integers(0, 7))).tolist()})
            rows.append((index, number // 16, len(rows) // 2, labels, heard))
    names = ("class_index", "group", "clip", "label_indexes", "heard_indexes")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return AnchorCatalogue.of_table(
        pa.table({**columns, "shard": [0] * len(rows)}).select(CATALOGUE_SCHEMA.names).cast(CATALOGUE_SCHEMA),
        name="pack",
    )


def plan_of(
    catalogue: AnchorCatalogue, vocabulary: Vocabulary, *, batch: int = 16, **settings: object
) -> MixturePlan:
    draws = DrawPlan(catalogue, settings=PlanSettings(batch_size=batch, lanes=2))
    return MixturePlan(catalogue, draws, settings=MixtureSettings(**settings), related=vocabulary.relatives())


def holds(catalogue: AnchorCatalogue, row: int) -> set[int]:
    """All that may sound in an anchor."""
    return {int(catalogue.class_indexes[row]), *catalogue.labels.of(row), *catalogue.heard.of(row)}


def marked(catalogue: AnchorCatalogue, lists: Lists) -> NDArray[np.bool_]:
    """Lists of classes as a matrix of shape (anchors, classes), the own class of each among them."""
    marks = np.zeros((len(catalogue), 527), np.bool_)
    marks[np.repeat(np.arange(len(catalogue)), np.diff(lists.ends)), lists.values] = True
    marks[np.arange(len(catalogue)), catalogue.class_indexes] = True
    return marks


@pytest.mark.slow
def test_of_100_000_pairs_no_partner_may_hold_the_target_nor_the_other_way_round(audioset, vocabulary):
    plan = plan_of(
        audioset, vocabulary, batch=64, two_sources=0, four_sources=1, textures=0.5, absent=0.1, twins=0.1
    )
    pairs = np.array(
        [
            (item.target, other)
            for step in range(460)
            for lane in range(2)
            for item in plan.items(step, lane)
            for other in (*item.partners, *(() if item.texture is None else (item.texture,)))
        ]
    )
    assert len(pairs) >= 100_000
    related = vocabulary.relatives().astype(np.float32)
    labels, heard = (marked(audioset, lists) for lists in (audioset.labels, audioset.heard))
    sounds = labels | heard
    forbidden = labels.astype(np.float32) @ related > 0
    for one, other in (pairs.T, pairs.T[::-1]):
        classes = audioset.class_indexes[one]
        assert not (related[classes] * sounds[other]).any()
        assert not (forbidden[one] & labels[other]).any()
    assert (audioset.clips[pairs[:, 0]] != audioset.clips[pairs[:, 1]]).all()


def test_shares_of_sources_are_kept(audioset, vocabulary):
    plan = plan_of(audioset, vocabulary, two_sources=0.5, three_sources=0.25, four_sources=0.25)
    counts = np.bincount([len(item.partners) for step in range(150) for item in plan.items(step, 0)])
    assert counts[0] <= 5
    assert counts[1:] / counts.sum() == pytest.approx([0.5, 0.25, 0.25], abs=0.05)


def test_what_is_absent_is_nowhere_in_the_mixture(audioset, vocabulary):
    related = vocabulary.relatives()
    plan = plan_of(audioset, vocabulary, absent=0.3, twins=0.3)
    items = [item for step in range(60) for item in plan.items(step, 0)]
    absent = [item for item in items if item.is_absent]
    assert 0.2 < len(absent) / len(items) < 0.4
    for item in absent:
        assert item.condition == "class-mean"
        sounds = set().union(*(holds(audioset, row) for row in item.anchors))
        assert not any(related[item.condition_class, sound] for sound in sounds)
    for item in items:
        if not item.is_absent:
            assert item.condition_class == audioset.class_indexes[item.target]


def test_a_couple_is_asked_for_together_and_nobody_else_may_hold_either(audioset, vocabulary):
    shares = {"two_sources": 0.2, "three_sources": 0.8, "textures": 0.2, "absent": 0.1}
    plan = plan_of(audioset, vocabulary, couples=1.0, **shares)
    items = [item for step in range(30) for item in plan.items(step, 0)]
    couples = [item for item in items if item.companion is not None]
    assert 0.6 < len(couples) / len(items) < 0.8
    for item in couples:
        assert not item.is_absent
        assert [index for index, _ in item.asked] == audioset.class_indexes[
            [item.target, item.companion]
        ].tolist()
        others = [row for row in item.anchors if row not in (item.target, item.twin, item.companion)]
        assert len(item.partners) == 1
        assert not any(
            plan.conflicts(row, other) for row in (item.target, item.companion) for other in others
        )
    # What is drawn without them is what was drawn before there were any.
    without = plan_of(audioset, vocabulary, **shares)
    some = [item for step in range(30) for item in without.items(step, 0)]
    assert [item.target for item in some] == [item.target for item in items]
    assert [item.is_absent for item in some] == [item.is_absent for item in items]
    assert {item.companion for item in some} == {None}


def test_excerpts_of_one_recording_are_not_mixed_with_each_other(audioset, vocabulary):
    """Each anchor is a clip of its own here, and every clip an excerpt of one of fifty recordings."""
    clips = np.arange(len(audioset))
    excerpts = replace(audioset, clips=clips, recordings=clips % 50)
    plan = plan_of(excerpts, vocabulary, twins=1.0)
    items = [item for step in range(10) for item in plan.items(step, 0)]
    assert sum(item.twin is not None for item in items) > 50
    for item in items:
        recordings = excerpts.recordings[[item.target, *item.partners]].tolist()
        assert recordings.count(recordings[0]) == 1
        assert item.twin is None or excerpts.recordings[item.twin] != recordings[0]
    assert plan.conflicts(0, 50)


def test_a_twin_is_another_clip_of_the_class(audioset, vocabulary):
    plan = plan_of(audioset, vocabulary, twins=1.0)
    items = [item for step in range(30) for item in plan.items(step, 0)]
    twins = [(item.target, item.twin) for item in items if item.twin is not None]
    assert len(twins) > 0.9 * len(items)
    for target, twin in twins:
        assert audioset.class_indexes[target] == audioset.class_indexes[twin]
        assert audioset.clips[target] != audioset.clips[twin]


@pytest.mark.parametrize("couples", [0.0, 1.0])
@pytest.mark.parametrize("partners", ["unrelated", "labels"])
def test_a_twin_suits_all_that_nobody_asks_for(audioset, vocabulary, partners, couples):
    shares = {"two_sources": 0.5, "three_sources": 0.5, "textures": 0.5, "absent": 0.1, "couples": couples}
    plan = plan_of(audioset, vocabulary, partners=partners, twins=1.0, **shares)
    items = [item for step in range(30) for item in plan.items(step, 0)]
    with_twins = [item for item in items if item.twin is not None]
    assert len(with_twins) > 0.9 * len(items)
    for item in with_twins:
        others = {*item.partners, *(() if item.texture is None else (item.texture,))}
        silent = others - set(item.partners[:1]) if item.is_absent and couples else others
        assert not any(plan.conflicts(item.twin, other) for other in silent)
    # What else is drawn is what was drawn without them.
    without = plan_of(audioset, vocabulary, partners=partners, **shares)
    plain = [item for step in range(30) for item in without.items(step, 0)]
    assert [item.anchors for item in plain] == [replace(item, twin=None).anchors for item in items]


@pytest.mark.parametrize("partners", ["any", "clip"])
def test_where_partners_may_be_anything_a_twin_may_be_too(audioset, vocabulary, partners):
    paired = replace(audioset, clips=np.arange(len(audioset)) // 2)
    plan = plan_of(paired, vocabulary, partners=partners, twins=1.0)
    items = [item for step in range(30) for item in plan.items(step, 0) if item.twin is not None]
    assert any(plan.conflicts(item.twin, other) for item in items for other in item.partners)


def test_the_published_partner_is_the_next_in_the_lane_whatever_it_is(audioset, vocabulary):
    plan = plan_of(audioset, vocabulary, partners="any")
    drawn = plan.draws.anchors(4, 1)
    assert [item.target for item in plan.items(4, 1)] == drawn.tolist()
    assert [item.partners for item in plan.items(4, 1)] == [(row,) for row in np.roll(drawn, -1).tolist()]


def test_a_partner_of_the_clip_is_another_place_of_it_for_the_same_class(audioset, vocabulary):
    clips = np.arange(len(audioset)) // 4  # most have several anchors of a class
    paired = replace(audioset, clips=clips)
    plan = plan_of(paired, vocabulary, partners="clip", two_sources=0.5, three_sources=0.5)
    items = [item for step in range(20) for item in plan.items(step, 0)]
    assert sum(bool(item.partners) for item in items) > 0.9 * len(items)
    for item in items:
        others = np.flatnonzero(
            (clips == clips[item.target]) & (paired.class_indexes == paired.class_indexes[item.target])
        )
        assert set(item.partners) <= {*others.tolist()} - {item.target}
        assert len(set(item.partners)) == len(item.partners) <= 2
    assert plan_of(paired, vocabulary, partners="clip", two_sources=0.5, three_sources=0.5).items(7, 1) == (
        plan.items(7, 1)
    )


def test_a_detector_that_hears_all_everywhere_leaves_targets_alone_unless_labels_decide(audioset, vocabulary):
    everywhere = np.tile(np.arange(527, dtype=np.int16), len(audioset))
    ends = np.arange(len(audioset) + 1) * 527
    heard = replace(audioset, heard=Lists(values=everywhere, ends=ends))
    assert plan_of(heard, vocabulary).share_alone(1) == 1.0
    by_labels = plan_of(heard, vocabulary, partners="labels")
    assert by_labels.share_alone(1) == 0.0
    for item in by_labels.items(0, 0):
        labels = set(audioset.labels.of(item.target)) & set(audioset.labels.of(item.partners[0]))
        assert not labels


def test_items_are_the_same_from_any_position_and_conditions_keep_their_shares(audioset, vocabulary):
    shares = ConditionShares(own=0.5, masked=0.2, class_mean=0.3)
    first, second = (plan_of(audioset, vocabulary, conditions=shares) for _ in range(2))
    items = [item for step in range(200) for item in first.items(step, 1)]
    assert second.items(199, 1) == items[-8:]
    kinds = [item.condition for item in items]
    assert [kinds.count(kind) / len(kinds) for kind in ("own", "masked", "class-mean")] == pytest.approx(
        [0.5, 0.2, 0.3], abs=0.05
    )


@pytest.mark.parametrize(
    "values",
    [
        {"two_sources": 0.5},
        {"couples": 0.5},
        {"conditions": {"own": 0.5}},
        {"target_rms_dbfs": (-10.0, -20.0)},
    ],
)
def test_shares_that_do_not_sum_to_one_couples_of_two_and_swapped_levels_are_refused(values):
    with pytest.raises(ConfigError):
        MixtureSettings(**values)
