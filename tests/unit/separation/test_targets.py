from __future__ import annotations

import pytest
import torch

from tests.unit.separation.fakes import DOG, MUSIC, SPEECH
from uss_ray.errors import QueryError
from uss_ray.ontology.known import KnownNodes
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.settings import Hierarchy
from uss_ray.separation.targets import (
    Asking,
    target_for_condition,
    target_for_rest,
    target_for_text,
    targets_for_classes,
    targets_for_events,
    targets_for_levels,
)


def test_a_level_gives_its_separable_nodes_each_once(vocabulary: Vocabulary) -> None:
    targets = targets_for_levels(vocabulary, levels=[1, 2, 1])
    wanted = [node.node_id for level in (1, 2) for node in vocabulary.separable_nodes(level)]
    assert [target.key for target in targets] == wanted
    assert {target.level for target in targets} == {1, 2}
    for target in targets:
        assert target.class_indexes == tuple(vocabulary.class_indexes(target.key))


def test_a_trained_node_knows_its_own_class_and_another_has_none(vocabulary: Vocabulary) -> None:
    dog, human = targets_for_classes(vocabulary, names=["Dog", "Human sounds"])
    assert dog.own_indexes == (DOG,)
    assert human.own_indexes == ()
    assert SPEECH in human.class_indexes


def test_a_level_that_does_not_exist_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(QueryError, match="99"):
        targets_for_levels(vocabulary, levels=[99])


def test_a_class_that_is_named_twice_is_one_target(vocabulary: Vocabulary) -> None:
    targets = targets_for_classes(vocabulary, names=["Speech", "0", "/m/09x0r"])
    assert [target.key for target in targets] == ["/m/09x0r"]
    assert targets[0].level is None


def test_a_union_holds_all_classes_under_one_key(vocabulary: Vocabulary) -> None:
    (union,) = targets_for_classes(vocabulary, names=["Speech", "Dog"], union=True)
    assert union.key == "query:speech-dog"
    assert union.own_indexes == (SPEECH, DOG)
    parts = targets_for_classes(vocabulary, names=["Speech", "Dog"])
    assert set(union.class_indexes) == set(parts[0].class_indexes) | set(parts[1].class_indexes)


def test_no_name_and_an_unknown_name_are_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(QueryError):
        targets_for_classes(vocabulary, names=[])
    with pytest.raises(QueryError, match="Sspeech"):
        targets_for_classes(vocabulary, names=["Sspeech"])


def test_a_text_says_what_it_was_taken_for(vocabulary: Vocabulary) -> None:
    target, match = target_for_text(vocabulary, text="music")
    assert target.key == match.node.node_id
    assert MUSIC in target.class_indexes


def test_an_audio_query_has_a_condition_and_no_classes() -> None:
    target = target_for_condition("my öld clips", condition=torch.ones(4))
    assert target.key == "query:my-öld-clips"
    assert target.class_indexes == ()
    assert not target.is_everything


@pytest.mark.parametrize("condition", [torch.ones(1, 4), torch.tensor([1.0, float("nan")])])
def test_a_condition_must_be_one_finite_vector(condition: torch.Tensor) -> None:
    with pytest.raises(QueryError, match="clips"):
        target_for_condition("clips", condition=condition)


def test_the_rest_is_named_after_what_is_left_out(vocabulary: Vocabulary) -> None:
    rest = target_for_rest(targets_for_classes(vocabulary, names=["Speech", "Dog"]))
    assert rest.key == "query:without-speech-dog"
    assert rest.is_everything
    with pytest.raises(QueryError):
        target_for_rest([])


def test_the_published_hierarchy_has_the_levels_and_subtrees_of_the_released_tree(
    vocabulary: Vocabulary,
) -> None:
    graph = {t.key: t for level in (1, 2, 3) for t in targets_for_levels(vocabulary, levels=[level])}
    tree = {
        t.key: t
        for level in (1, 2, 3)
        for t in targets_for_levels(vocabulary, levels=[level], hierarchy="published")
    }
    cat = vocabulary.resolve("Cat").node_id
    growling = vocabulary.classes.index(vocabulary.resolve("Growling").node_id)
    assert growling in graph[cat].class_indexes
    assert growling not in tree[cat].class_indexes
    assert all(
        set(tree[key].class_indexes) <= set(graph[key].class_indexes) for key in tree.keys() & graph.keys()
    )
    assert tree.keys() != graph.keys()


def test_names_words_and_examples_are_not_gated_and_levels_are(vocabulary: Vocabulary) -> None:
    assert all(target.is_gated for target in targets_for_levels(vocabulary, levels=[1, 2]))
    named = targets_for_classes(vocabulary, names=["Speech", "Dog"])
    (union,) = targets_for_classes(vocabulary, names=["Speech", "Dog"], union=True)
    text, _ = target_for_text(vocabulary, text="music")
    example = target_for_condition("a", condition=torch.ones(3))
    assert not any(target.is_gated for target in (*named, union, text, example, target_for_rest(named)))
    asking = Asking(only_detected=True)
    assert all(t.is_gated for t in targets_for_classes(vocabulary, names=["Speech"], asking=asking))
    assert target_for_text(vocabulary, text="music", asking=asking)[0].is_gated


def test_an_unknown_name_is_refused_unless_it_is_allowed(vocabulary: Vocabulary) -> None:
    known = KnownNodes(vocabulary, [SPEECH])
    with pytest.raises(QueryError, match="Dog: expected a sound that the weights were trained on"):
        targets_for_classes(vocabulary, names=["Speech", "Dog"], asking=Asking(known=known))
    allowed = Asking(known=known, allow_unknown=True)
    speech, dog = targets_for_classes(vocabulary, names=["Speech", "Dog"], asking=allowed)
    assert (speech.is_known, dog.is_known) == (True, False)


@pytest.mark.parametrize("hierarchy", ["graph", "published"])
def test_a_level_marks_what_is_not_known(vocabulary: Vocabulary, hierarchy: Hierarchy) -> None:
    known = KnownNodes(vocabulary, [SPEECH])
    levels = targets_for_levels(vocabulary, levels=[1, 2], hierarchy=hierarchy, known=known)
    assert {t.label for t in levels if t.is_known} == {"Human sounds", "Human voice"}


def test_events_are_the_classes_that_are_neither_abstract_nor_hard_to_tell(vocabulary: Vocabulary) -> None:
    events = {target.label: target for target in targets_for_events(vocabulary)}
    assert {"Dog", "Bark", "Animal", "Train", "Piano"} <= events.keys()
    plumbing = {
        "Source-ambiguous sounds",
        "Onomatopoeia",
        "Channel, environment and background",
        "Human voice",
    }
    assert not (plumbing | {"Sounds of things", "Field recording", "Song"}) & events.keys()
    assert all(target.is_event and target.is_gated and target.group == 0 for target in events.values())
    dog, bark = events["Dog"], events["Bark"]
    assert dog.level == vocabulary.resolve("Dog").level
    assert bark.key in dog.specific_keys
    assert dog.key not in bark.specific_keys
    assert vocabulary.resolve("Song").node_id not in events["Music"].specific_keys
    assert vocabulary.classes.index(vocabulary.resolve("Song").node_id) in events["Music"].class_indexes


def test_an_event_none_of_whose_classes_the_weights_know_is_unknown(vocabulary: Vocabulary) -> None:
    events = targets_for_events(vocabulary, known=KnownNodes(vocabulary, [SPEECH]))
    known = {target.label for target in events if target.is_known}
    assert known == {"Speech"}


def test_levels_and_queries_are_groups_of_their_own(vocabulary: Vocabulary) -> None:
    assert {target.group for target in targets_for_levels(vocabulary, levels=[2])} == {2}
    assert {target.group for target in targets_for_classes(vocabulary, names=["Dog"])} == {None}
