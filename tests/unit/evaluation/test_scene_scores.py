from __future__ import annotations

import numpy as np
import pytest

from uss_ray.evaluation.result import SystemResult, summarise_system
from uss_ray.evaluation.scene_rows import level_rows
from uss_ray.evaluation.scene_scores import LevelScore, SeparatedScene, projection, score_scene
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.targets import Target, targets_for_levels

RNG = np.random.default_rng(0)
# Sounds that hold nothing of each other.
DOG, CAT, PIANO = np.eye(3, 3000, dtype=np.float32)
# SDR of a perfect estimate of the first: its mean square over the floor.
PERFECT = 10 * np.log10(1 / 3000 / 1e-10)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


def key(vocabulary: Vocabulary, label: str) -> str:
    return vocabulary.resolve(label).node_id


def scored(
    vocabulary: Vocabulary,
    stems: dict[str, np.ndarray],
    *,
    stem_of: dict[str, str] | None = None,
    sources: dict[str, np.ndarray] | None = None,
    unknown: str = "",
    beside: dict[str, np.ndarray] | None = None,
) -> list[LevelScore]:
    sources = {"Dog": DOG, "Piano": 2 * PIANO} if sources is None else sources
    below = beside or {}
    named = {key(vocabulary, label): stem for label, stem in stems.items()}
    targets: tuple[Target, ...] = targets_for_levels(vocabulary, levels=[1, 2])
    if unknown:
        targets = tuple(
            Target(t.key, t.label, t.level, t.class_indexes, is_known=t.label != unknown) for t in targets
        )
    return score_scene(
        "s",
        SeparatedScene(
            np.sum([*sources.values(), *below.values(), np.zeros_like(DOG)], axis=0),
            {vocabulary.classes.index(key(vocabulary, label)): sound for label, sound in sources.items()},
            named,
            {
                node: key(vocabulary, (stem_of or {}).get(label, label))
                for label, node in ((label, key(vocabulary, label)) for label in stems)
            },
            {key(vocabulary, label): sound for label, sound in below.items()},
        ),
        targets=targets,
        vocabulary=vocabulary,
    )


def summed(*levels: LevelScore) -> SystemResult:
    return summarise_system(
        [
            row
            for level in levels
            for row in level_rows(level, sources=2 * any(node.is_true for node in level.nodes), seconds=1.0)
        ]
    )


def test_nodes_are_true_where_a_source_lies_below_them(vocabulary: Vocabulary) -> None:
    one, two = scored(vocabulary, {"Animal": DOG, "Channel, environment and background": 0.1 * PIANO})
    by_label = {vocabulary.ontology.node(node.node_id).label: node for node in one.nodes}
    assert {label for label, node in by_label.items() if node.is_true} == {"Animal", "Music"}
    assert by_label["Animal"].sdr_db == pytest.approx(PERFECT)
    assert by_label["Animal"].sdri_db == pytest.approx(PERFECT + 10 * np.log10(4))
    assert by_label["Music"].sdr_db == 0
    assert not by_label["Music"].is_written
    assert by_label["Channel, environment and background"].sdr_db is None
    first, second = summed(one), summed(two)
    assert first.labels is not None
    assert second.labels is not None
    assert first.level is not None
    assert (first.labels.precision, first.labels.recall, first.labels.f1) == (0.5, 0.5, 0.5)
    means = {name: measure.mean.value for name, measure in first.measures.items()}
    assert means["false_stems"] == pytest.approx(0.01 / 5)
    assert means["missed"] == pytest.approx(4 / 5)
    assert means["residual"] == pytest.approx((1.9**2) / 5)
    assert means["sdr"] == pytest.approx(PERFECT / 2)
    # of three names one is right
    gain = 10 * np.log10((1 + 1.1920929e-07) / 1.1920929e-07) + 10 * np.log10(4)
    assert means["ca_sdri"] == pytest.approx(gain / 3, abs=0.01)
    assert first.level.written_sdr == pytest.approx(PERFECT)
    assert (first.targets, first.detected) == (2, 0.5)
    assert [one.label for one in first.classes] == sorted(
        key(vocabulary, name) for name in ("Animal", "Music")
    )
    assert (second.labels.precision, second.labels.recall) == (None, 0.0)


def test_a_true_node_that_the_weights_cannot_know_is_counted_apart(vocabulary: Vocabulary) -> None:
    first = summed(scored(vocabulary, {"Animal": DOG}, unknown="Music")[0])
    assert first.labels is not None
    assert first.level is not None
    assert (first.labels.precision, first.labels.recall, first.level.unknown) == (1.0, 1.0, 1)


def test_in_an_empty_scene_everything_is_false_but_what_sounds_below_it(vocabulary: Vocabulary) -> None:
    below = {"Rain": 2 * PIANO}
    silent = summed(scored(vocabulary, {}, sources={}, beside=below)[0])
    assert silent.labels is not None
    assert silent.labels.empty is not None
    assert (silent.labels.f1, silent.labels.mixture_accuracy, silent.labels.empty.right) == (None, 1.0, 1.0)
    means = {name: measure.mean.value for name, measure in silent.measures.items()}
    assert means == {"ca_sdri": None, "residual": 1.0, "false_stems": 0.0, "missed": 0.0}
    assert silent.measures["ca_sdri"].undefined == 1

    stems = {"Natural sounds": PIANO, "Animal": 0.5 * DOG}
    both = summed(scored(vocabulary, stems, sources={}, beside=below)[0])
    assert both.labels is not None
    assert both.labels.empty is not None
    assert (both.labels.precision, both.labels.recall) == (0.0, None)
    assert (both.labels.empty.scenes, both.labels.empty.false_stems) == (1, 1.0)  # the rain is there
    assert both.labels.empty.energy == pytest.approx(0.25 / 4)
    assert both.measures["ca_sdri"].mean.value == 0.0
    assert "of 1 scenes without a target 0% are left empty" in both.labels.empty.told


def test_a_texture_belongs_to_the_nodes_above_it_where_a_source_does(vocabulary: Vocabulary) -> None:
    sources, below = {"Dog": DOG, "Piano": 2 * PIANO}, {"Cricket": CAT}
    [animal] = [
        node
        for node in scored(vocabulary, {"Animal": DOG + CAT}, sources=sources, beside=below)[0].nodes
        if node.node_id == key(vocabulary, "Animal")
    ]
    assert animal.sdr_db == pytest.approx(PERFECT + 10 * np.log10(2))


def test_of_a_silent_scene_no_share_is_defined(vocabulary: Vocabulary) -> None:
    silent = summed(scored(vocabulary, {}, sources={})[0])
    undefined = {name: measure.undefined for name, measure in silent.measures.items()}
    assert undefined == {"ca_sdri": 1, "residual": 1, "false_stems": 1, "missed": 1}
    assert silent.labels is not None
    assert silent.labels.empty is not None
    assert silent.labels.empty.energy is None


def test_a_sound_in_two_stems_is_lost_twice_unless_they_are_one(vocabulary: Vocabulary) -> None:
    stems = {"Animal": DOG, "Music": DOG}
    first = summed(scored(vocabulary, stems)[0]).level
    assert first is not None
    assert first.taken_twice == 1.0
    assert first.least_left == pytest.approx(-1.0)
    first = summed(scored(vocabulary, stems, stem_of={"Music": "Animal"})[0]).level
    assert first is not None
    assert first.taken_twice == 0.0
    assert first.least_left == pytest.approx(0.0)


def test_a_child_is_compared_with_its_parent(vocabulary: Vocabulary) -> None:
    pets = "Domestic animals, pets"
    _, agree = scored(vocabulary, {"Animal": DOG, pets: 1.1 * DOG})
    assert (agree.children, agree.louder) == (1, 0)
    assert (agree.parents, agree.overdrawn) == (1, 1)
    _, louder = scored(vocabulary, {"Animal": DOG, pets: 1.2 * DOG})
    assert (louder.children, louder.louder) == (1, 1)
    _, orphan = scored(vocabulary, {pets: DOG})
    assert (orphan.children, orphan.louder, orphan.parents) == (1, 1, 0)
    _, within = scored(vocabulary, {"Animal": DOG + CAT, pets: DOG})
    assert (within.louder, within.overdrawn) == (0, 0)
    both = summed(louder, within).level
    assert both is not None
    assert both.louder == 0.5


def test_a_projection_is_a_factor() -> None:
    noise = RNG.standard_normal(1000).astype(np.float32)
    assert projection(0.3 * noise, noise) == pytest.approx(0.3, rel=1e-5)
    assert projection(noise, np.zeros(1000, np.float32)) == 0
