from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.parts import Composer, Parts
from uss_ray.separation.targets import Target, targets_for_classes, targets_for_levels


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture(scope="module")
def targets(vocabulary: Vocabulary) -> tuple[Target, ...]:
    return targets_for_levels(vocabulary, levels=[1, 2, 3])


def chosen(
    vocabulary: Vocabulary, targets: tuple[Target, ...], *names: str, **options: Any
) -> tuple[Parts, dict[str, set[str]]]:
    """What is chosen where some classes sound, and the labels of the parts of each stem."""
    sounds = np.zeros(len(vocabulary.classes), np.bool_)
    sounds[[vocabulary.classes.index(vocabulary.resolve(name).node_id) for name in names]] = True
    active = np.array([not target.is_gated or sounds[list(target.class_indexes)].any() for target in targets])
    parts = Composer(targets, vocabulary=vocabulary, **options).choose(active, sounds=sounds)
    made = {
        stem.key: {parts.separated[place].label for place in places}
        for stem, places in zip(parts.stems, parts.of_stem, strict=True)
    }
    return parts, made


def test_the_most_specific_is_separated_once_for_all_levels(
    vocabulary: Vocabulary, targets: tuple[Target, ...]
) -> None:
    parts, made = chosen(vocabulary, targets, "Animal", "Dog", "Bark", "Piano")
    assert [part.label for part in parts.separated] == ["Bark", "Piano"]
    assert parts.sharing == 2
    by_level = {
        level: [made[target.key] for target in targets if target.level == level and target.key in made]
        for level in (1, 2, 3)
    }
    for found in by_level.values():
        assert found == [{"Bark"}, {"Piano"}]


def test_what_nothing_steers_to_is_no_part(vocabulary: Vocabulary, targets: tuple[Target, ...]) -> None:
    _, made = chosen(vocabulary, targets, "Dog", "Bark", "Piano", steers=lambda one: one.label != "Bark")
    assert set.union(*made.values()) == {"Dog", "Piano"}


def test_each_part_is_in_one_stem_of_a_level_and_a_child_within_a_parent(
    vocabulary: Vocabulary, targets: tuple[Target, ...]
) -> None:
    rng = np.random.default_rng(0)
    keys = [target.key for target in targets]
    by_key = dict(zip(keys, targets, strict=True))
    for _ in range(60):
        names = [vocabulary.classes.labels[index] for index in rng.choice(len(vocabulary.classes), 6)]
        names = [name for name in names if vocabulary.is_separable(vocabulary.resolve(name).node_id)]
        parts, made = chosen(vocabulary, targets, *names)
        for level in (1, 2, 3):
            of_level = [found for key, found in made.items() if by_key[key].level == level]
            assert sum(map(len, of_level)) == len(set().union(*of_level))
            for key in made:
                parents = vocabulary.ontology.node(key).parent_ids
                if by_key[key].level == level and level > 1:
                    assert any(made[key] <= made.get(parent, set()) for parent in parents)
        for column, target in enumerate(targets):
            holder = parts.held_by[column]
            assert (holder == column) == (target.key in made)
            if holder >= 0:
                assert targets[holder].level == target.level
                assert keys[holder] in made


def test_nodes_of_the_same_sound_are_one_stem(vocabulary: Vocabulary, targets: tuple[Target, ...]) -> None:
    parts, _ = chosen(vocabulary, targets, "Howl")
    found = [column for column in np.flatnonzero(parts.held_by >= 0) if targets[column].level == 2]
    assert {targets[column].label for column in found} == {"Domestic animals, pets", "Wild animals"}
    assert len({int(parts.held_by[column]) for column in found}) == 1
    assert sum(by.level == 2 for by in parts.stems) == 1


def test_who_holds_a_class_does_not_depend_on_what_else_sounds(
    vocabulary: Vocabulary, targets: tuple[Target, ...]
) -> None:
    _, alone = chosen(vocabulary, targets, "Howl")
    _, among = chosen(vocabulary, targets, "Howl", "Cricket", "Meow", "Piano")
    assert {key for key, found in alone.items() if "Howl" in found} == {
        key for key, found in among.items() if "Howl" in found
    }


def test_what_was_asked_for_by_name_is_separated_by_itself(
    vocabulary: Vocabulary, targets: tuple[Target, ...]
) -> None:
    asked = (*targets_for_classes(vocabulary, names=["Dog"]), *targets)
    asked = asked[:1] + tuple(target for target in asked[1:] if target.key != asked[0].key)
    parts, made = chosen(vocabulary, asked, "Piano")
    assert [part.label for part in parts.separated] == ["Piano", "Dog"]
    assert parts.sharing == 1
    assert made[asked[0].key] == {"Dog"}


def test_a_node_without_a_gate_has_a_stem_where_nothing_of_it_is_detected(
    vocabulary: Vocabulary, targets: tuple[Target, ...]
) -> None:
    node = vocabulary.resolve("Dog").node_id
    opened = tuple(replace(target, is_gated=target.key != node) for target in targets)
    parts, made = chosen(vocabulary, opened)
    assert made == {node: {"Dog"}}
    assert parts.sharing == 1
    _, made = chosen(vocabulary, opened, "Bark")
    assert made[node] == {"Bark"}
    assert made[vocabulary.resolve("Animal").node_id] == {"Bark"}


def test_nodes_by_themselves_share_nothing(vocabulary: Vocabulary, targets: tuple[Target, ...]) -> None:
    parts, made = chosen(vocabulary, targets, "Howl", sums=False)
    assert parts.sharing == 0
    assert [part.key for part in parts.separated] == list(made)
    assert len(made) > 3
    assert all(found == {stem.label} for found, stem in zip(made.values(), parts.stems, strict=True))
    assert all(holder in (-1, column) for column, holder in enumerate(parts.held_by))
