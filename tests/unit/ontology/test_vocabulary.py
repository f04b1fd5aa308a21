from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from uss_ray.errors import DataError, QueryError
from uss_ray.ontology.classes import ClassList
from uss_ray.ontology.vocabulary import Vocabulary


def test_every_node_has_all_trained_descendants_over_every_path(audioset: Vocabulary) -> None:
    ontology, classes = audioset.ontology, audioset.classes
    above: dict[str, set[int]] = {node_id: set() for node_id in ontology.nodes}
    for class_index, class_id in enumerate(classes.ids):
        climbing = [class_id]
        while climbing:
            node_id = climbing.pop()
            above[node_id].add(class_index)
            climbing.extend(ontology.nodes[node_id].parent_ids)
    assert {node_id: set(audioset.class_indexes(node_id)) for node_id in ontology.nodes} == above


def test_cat_includes_growling(audioset: Vocabulary, node_id: Callable[[str], str]) -> None:
    assert audioset.classes.index(node_id("Growling")) in audioset.class_indexes(node_id("Cat"))


def test_class_indexes_are_sorted_and_each_once(audioset: Vocabulary) -> None:
    for node_id in audioset.ontology.nodes:
        indexes = audioset.class_indexes(node_id)
        assert list(indexes) == sorted(set(indexes))


def test_a_class_mask_marks_the_class_indexes_and_nothing_else(audioset: Vocabulary) -> None:
    mask = audioset.class_mask("/m/0jbk")
    assert mask.shape == (527,)
    assert tuple(np.flatnonzero(mask)) == audioset.class_indexes("/m/0jbk")


def test_separable_nodes_leave_out_nodes_without_a_trained_class(bioacoustics: Vocabulary) -> None:
    assert [node.node_id for node in bioacoustics.separable_nodes(1)] == ["b:animal"]
    assert bioacoustics.class_indexes("b:weather") == ()
    assert bioacoustics.class_indexes("b:pip") == (0,)
    assert bioacoustics.class_indexes("b:animal") == (0, 1, 2, 3)


def test_a_class_that_the_ontology_lacks_is_refused_by_name(audioset: Vocabulary) -> None:
    classes = ClassList.parse("index,mid,display_name\n0,/m/0jbk,Animal\n1,x:bat,Bat\n", name="own.csv")
    with pytest.raises(DataError, match=r"own\.csv: .*found x:bat \(Bat\), one of 1"):
        Vocabulary(audioset.ontology, classes)


def test_relatives_are_the_classes_on_one_line_of_descent(audioset: Vocabulary) -> None:
    subtrees, related = audioset.subtrees(), audioset.relatives()
    animal, dog, bark, piano = (
        audioset.classes.index(audioset.resolve(name).node_id) for name in ("Animal", "Dog", "Bark", "Piano")
    )
    assert subtrees[animal, bark]
    assert not subtrees[bark, animal]
    assert related[bark, animal]
    assert related[dog, dog]
    assert not related[dog, piano]
    assert (related == related.T).all()


def test_a_vocabulary_survives_the_way_to_another_process(audioset: Vocabulary) -> None:
    audioset.resolve_text("dog barking")
    copy = pickle.loads(pickle.dumps(audioset))  # noqa: S301 - as Ray sends it
    assert copy.class_indexes("/m/0jbk") == audioset.class_indexes("/m/0jbk")
    assert copy.resolve_text("dog barking") == audioset.resolve_text("dog barking")


@pytest.mark.parametrize("name", [0, "0", " 0 ", "/m/09x0r", "Speech", "speech", "SPEECH "])
def test_a_class_index_an_id_and_a_label_in_any_case_name_the_same_node(
    audioset: Vocabulary, name: str | int
) -> None:
    assert audioset.resolve(name).node_id == "/m/09x0r"


def test_a_label_of_the_class_list_names_its_node_even_where_the_ontology_says_otherwise(
    bioacoustics: Vocabulary,
) -> None:
    assert bioacoustics.resolve("frog, calling").node_id == "b:frog-call"


def test_an_untrained_node_with_trained_descendants_can_be_named(audioset: Vocabulary) -> None:
    node = audioset.resolve("Human sounds")
    assert node.node_id not in audioset.classes
    assert len(audioset.class_indexes(node.node_id)) > 10


def test_a_label_of_several_nodes_is_refused_with_their_ids(bioacoustics: Vocabulary) -> None:
    with pytest.raises(QueryError, match=r"Call \(b:bat-call\), Call \(b:frog-call\)"):
        bioacoustics.resolve("call")


def test_a_misspelt_label_is_refused_with_the_near_ones(audioset: Vocabulary) -> None:
    with pytest.raises(QueryError, match=r"Spech: .*near: Speech"):
        audioset.resolve("Spech")


@pytest.mark.parametrize("index", [527, "527", -1])
def test_an_index_out_of_range_is_refused_with_the_range(audioset: Vocabulary, index: str | int) -> None:
    with pytest.raises(QueryError, match=r"class index .*from 0 to 526"):
        audioset.resolve(index)


def test_a_node_without_trained_classes_is_refused(audioset: Vocabulary) -> None:
    with pytest.raises(QueryError, match=r"Yawn .*expected a node with a trained class"):
        audioset.resolve("Yawn")


def test_runners_up_come_best_first_and_never_score_above_the_match(audioset: Vocabulary) -> None:
    match = audioset.resolve_text("someone typing on a keyboard")
    scores = [match.score, *(candidate.score for candidate in match.runners_up)]
    assert scores == sorted(scores, reverse=True)
    assert "Computer keyboard" in [candidate.node.label for candidate in match.runners_up]


@pytest.mark.slow
def test_labels_that_can_be_separated_resolve_to_their_own_nodes_as_text(audioset: Vocabulary) -> None:
    for node in list(audioset.ontology.nodes.values())[::7]:
        if audioset.is_separable(node.node_id):
            assert audioset.resolve_text(node.label).node == node


@pytest.mark.parametrize("text", ["asdf qwerty", "", "   ", "the sound of the", "quantum physics", "?!"])
def test_a_text_that_fits_nothing_is_refused(audioset: Vocabulary, text: str) -> None:
    with pytest.raises(QueryError, match="no class that fits"):
        audioset.resolve_text(text)


@pytest.mark.parametrize(
    ("text", "candidates"),
    [("scratching", ["/m/01hgjl", "/m/07qb_dv"]), ("knocking tapping", ["/m/07qcpgn", "/m/07r4wb8"])],
)
def test_a_text_that_fits_unrelated_classes_equally_is_refused_with_their_ids(
    audioset: Vocabulary, text: str, candidates: list[str]
) -> None:
    with pytest.raises(QueryError) as refusal:
        audioset.resolve_text(text)
    assert all(node_id in refusal.value.found for node_id in candidates)


def _queries() -> list[tuple[str, list[str]]]:
    table = Path(__file__).parents[2] / "data" / "text_queries.tsv"
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    return [(text, right.split("|")) for text, right in rows]


def _answer(vocabulary: Vocabulary, text: str) -> str:
    try:
        return vocabulary.resolve_text(text).node.label
    except QueryError:
        return "ask"


@pytest.mark.slow
def test_of_the_table_of_queries_none_is_taken_for_another_sound_and_few_are_asked_needlessly(
    audioset: Vocabulary,
) -> None:
    queries = _queries()
    answers = [(text, right, _answer(audioset, text)) for text, right in queries]
    wrong = [(text, got) for text, right, got in answers if got not in [*right, "ask"]]
    asked = [text for text, right, got in answers if got == "ask" and "ask" not in right]
    assert len(queries) > 300
    assert wrong == []
    assert asked == ["girl singing", "diesel engine", "sonar ping", "reggae song"]


def test_the_table_of_queries_names_nodes_that_are_there(audioset: Vocabulary) -> None:
    labels = {node.label for node in audioset.ontology.nodes.values()}
    assert {one for _, right in _queries() for one in right} - labels == {"ask"}


def test_a_text_below_the_floor_is_a_question_that_names_the_nearest(audioset: Vocabulary) -> None:
    with pytest.raises(
        QueryError, match=r"washing machine: .*near: .*Sewing machine \(/m/0llzx\)"
    ) as refusal:
        audioset.resolve_text("washing machine")
    assert refusal.value.exit_code == 4


@pytest.mark.parametrize("text", ["cat dog", "dog cat", "a cat and a dog", "dog barking, people talking"])
def test_a_text_that_names_two_sounds_is_a_question(audioset: Vocabulary, text: str) -> None:
    with pytest.raises(QueryError):
        audioset.resolve_text(text)


def test_what_is_preferred_wins_a_tie(audioset: Vocabulary) -> None:
    tied = [audioset.resolve("Female singing"), audioset.resolve("Child singing")]
    for node in tied:
        match = audioset.resolve_text(
            "girl singing", prefers=lambda node_id, node=node: node_id == node.node_id
        )
        assert match.node == node
    with pytest.raises(QueryError):
        audioset.resolve_text("girl singing", prefers=lambda _: False)


def test_a_node_that_cannot_be_separated_is_never_what_a_text_means(audioset: Vocabulary) -> None:
    with pytest.raises(QueryError):
        audioset.resolve_text("yawning")


def test_text_works_on_an_ontology_without_descriptions(bioacoustics: Vocabulary) -> None:
    assert bioacoustics.resolve_text("bats").node.node_id == "b:bat"
    assert bioacoustics.resolve_text("croaking frogs").node.node_id == "b:frog"
