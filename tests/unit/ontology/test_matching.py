from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.errors import DataError, QueryError
from uss_ray.ontology.matching import TextIndex, load_everyday_words, load_other_names, split_synonyms
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.ontology.words import stem


def _rank(vocabulary: Vocabulary, text: str, **everyday: tuple[str, ...]) -> list[tuple[str, float]]:
    index = TextIndex(
        vocabulary.ontology, candidates=vocabulary.ontology.nodes.values(), everyday_words=everyday
    )
    return [(candidate.node.node_id, candidate.score) for candidate in index.rank(text)]


def test_labels_split_at_commas_and_lose_their_brackets() -> None:
    assert split_synonyms("Roaring cats (lions, tigers)") == ("Roaring cats",)
    assert split_synonyms("Dishes, pots, and pans") == ("Dishes", "pots", "and pans")


def test_a_label_scores_one_and_a_description_less(bioacoustics: Vocabulary) -> None:
    assert _rank(bioacoustics, "frog")[0] == ("b:frog", pytest.approx(1.0))
    ((found, score),) = _rank(bioacoustics, "pond")
    assert found == "b:frog"
    assert 0 < score < 0.5


def test_the_label_of_a_parent_tells_two_nodes_of_one_name_apart(bioacoustics: Vocabulary) -> None:
    assert _rank(bioacoustics, "frog calling")[0][0] == "b:frog-call"
    assert _rank(bioacoustics, "bat calling")[0][0] == "b:bat-call"


def test_a_rare_word_of_the_text_counts_more_than_a_common_one(bioacoustics: Vocabulary) -> None:
    assert _rank(bioacoustics, "soprano call recorded")[0][0] == "b:pip"


def test_an_everyday_word_finds_the_label_word_it_stands_for_but_scores_less(
    bioacoustics: Vocabulary,
) -> None:
    assert _rank(bioacoustics, "toad") == []
    found, score = _rank(bioacoustics, "toad", toad=("frog",))[0]
    assert found == "b:frog"
    assert score < _rank(bioacoustics, "frog")[0][1]


def test_every_everyday_word_leads_to_a_word_that_audioset_uses(audioset: Vocabulary) -> None:
    used = " ".join(node.label for node in audioset.ontology.nodes.values()).casefold()
    label_stems = {stem(word.strip("(),")) for word in used.replace("-", " ").split()}
    unused = {other for others in load_everyday_words().values() for other in others} - label_stems
    assert unused == set()


@pytest.mark.parametrize(
    ("text", "message"), [("[]", "found a list"), ("{", "in line 1"), ('{"talk": "speech"}', "word talk")]
)
def test_a_wrong_list_of_everyday_words_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "words.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_everyday_words(path)


def test_the_order_of_the_words_does_not_count(audioset: Vocabulary) -> None:
    for text in ("running water", "steam train", "dog barking", "a train passing by", "heavy rain"):
        turned = " ".join(reversed(text.split()))
        assert audioset.resolve_text(turned).node == audioset.resolve_text(text).node
        assert audioset.resolve_text(turned).score == pytest.approx(audioset.resolve_text(text).score)


def test_what_a_thing_does_and_how_it_sounds_counts_less_than_what_it_is(bioacoustics: Vocabulary) -> None:
    assert _rank(bioacoustics, "bat calling")[0][0] == "b:bat-call"
    index = TextIndex(
        bioacoustics.ontology, candidates=bioacoustics.ontology.nodes.values(), everyday_words={}
    )
    weights = index.weigh("a distant bat calling")
    assert weights["bat"] > weights["call"] > weights["distant"] > 0


def test_another_name_counts_whole_or_not_at_all(bioacoustics: Vocabulary) -> None:
    index = TextIndex(
        bioacoustics.ontology,
        candidates=bioacoustics.ontology.nodes.values(),
        everyday_words={},
        other_names={bioacoustics.ontology.node("b:frog").label: ("green hopper",)},
    )
    (found,) = index.rank("a hopper that is green")
    assert (found.node.node_id, found.score) == ("b:frog", pytest.approx(1.0))
    assert index.rank("hopper") == []


def test_a_longer_word_is_another_word(audioset: Vocabulary) -> None:
    assert audioset.resolve_text("gunfire").node.label == "Gunshot, gunfire"
    with pytest.raises(QueryError):
        audioset.resolve_text("woodpecker")


def test_the_other_names_belong_to_labels_of_audioset_that_can_be_separated(audioset: Vocabulary) -> None:
    separable = {
        node.label for node in audioset.ontology.nodes.values() if audioset.is_separable(node.node_id)
    }
    assert set(load_other_names()) <= separable
