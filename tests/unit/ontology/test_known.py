"""What weights know of the ontology, and what is nearest to what they do not know."""

import pytest

from uss_ray.errors import QueryError
from uss_ray.ontology.known import KnownNodes
from uss_ray.ontology.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


def knowing(vocabulary: Vocabulary, *labels: str) -> KnownNodes:
    ids = [vocabulary.resolve(label).node_id for label in labels]
    return KnownNodes(vocabulary, [vocabulary.classes.index(node_id) for node_id in ids])


def test_a_node_is_known_by_any_class_of_its_subtree(vocabulary):
    known = knowing(vocabulary, "Meow")
    for label, is_known in (("Meow", True), ("Cat", True), ("Animal", True), ("Dog", False), ("Purr", False)):
        assert known.knows_node(vocabulary.resolve(label).node_id) == is_known, label


def test_without_a_list_everything_is_known(vocabulary):
    known = KnownNodes(vocabulary, None)
    assert len(known.class_indexes) == len(vocabulary.classes)


def test_the_nearest_are_siblings_and_what_is_above(vocabulary):
    known = knowing(vocabulary, "Meow", "Hiss", "Speech")
    purr = vocabulary.resolve("Purr")
    labels = [node.label for node in known.nearest(purr.node_id)]
    assert labels[:3] == ["Meow", "Hiss", "Cat"]
    assert "Speech" not in labels
    assert [node.label for node in known.nearest(purr.node_id, count=1)] == ["Meow"]


def test_a_refusal_names_them(vocabulary):
    with pytest.raises(QueryError, match=r"Purr: expected .*Meow .*found none of its classes"):
        knowing(vocabulary, "Meow").refuse(vocabulary.resolve("Purr"))
    with pytest.raises(QueryError, match="nearest: none"):
        knowing(vocabulary, "Speech").refuse(vocabulary.resolve("Purr"))


def test_what_the_weights_know_wins_a_tie(vocabulary):
    for label in ("Female singing", "Child singing"):
        assert knowing(vocabulary, label).resolve_text("girl singing").node.label == label
    with pytest.raises(QueryError):
        knowing(vocabulary, "Female singing", "Child singing").resolve_text("girl singing")
