from __future__ import annotations

import logging

import pytest

from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.benchmark import Sound
from uss_ray.evaluation.benchmarks.pairs import published_pairs, strict_pairs
from uss_ray.ontology.vocabulary import Vocabulary

SOUNDS = [Sound(f"{number}.wav", ("abc"[number % 3],)) for number in range(9)]


def test_the_published_pairs_are_the_same_again_and_end_when_all_classes_are_full() -> None:
    pairs = list(published_pairs(SOUNDS, seed=1234, where="set"))
    assert len(pairs) == 300
    assert pairs == list(published_pairs(SOUNDS, seed=1234, where="set"))
    assert pairs != list(published_pairs(SOUNDS, seed=1, where="set"))


def test_a_class_that_can_never_be_paired_ends_the_published_list() -> None:
    lone = [Sound("a.wav", ("a",)), Sound("b.wav", ("a",))]
    with pytest.raises(DataError, match="expected a clip behind one of a with another label"):
        list(published_pairs(lone, seed=1234, where="set"))


def test_strict_pairs_do_not_depend_on_the_order_of_files(vocabulary: Vocabulary) -> None:
    pairs = list(strict_pairs(SOUNDS, seed=0, vocabulary=vocabulary))
    assert pairs == list(strict_pairs(SOUNDS[::-1], seed=0, vocabulary=vocabulary))
    assert all(one.labels != other.labels for _, (one, other) in pairs)
    assert pairs != list(strict_pairs(SOUNDS, seed=1, vocabulary=vocabulary))


def test_strict_pairs_that_cannot_be_drawn_are_told_of(
    vocabulary: Vocabulary, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(list(strict_pairs(SOUNDS, seed=0, vocabulary=vocabulary))) == 30
        assert not caplog.records
        common = [Sound("x.wav", ("x", "a", "b", "c")), *SOUNDS]
        assert len(list(strict_pairs(common, seed=0, vocabulary=vocabulary))) == 30
    assert caplog.messages == [
        "10 of 40 pairs are left out, for want of clips that may be mixed: x (10)",
    ]
