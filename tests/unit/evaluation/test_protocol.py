from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.errors import DataError
from uss_ray.evaluation.pairs import read_pairs
from uss_ray.evaluation.protocol import read_split, write_list
from uss_ray.ontology.vocabulary import Vocabulary


def test_the_list_is_rebuilt_the_same_and_its_pairs_are_unrelated(
    two_sources: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    count = write_list(two_sources, tmp_path / "list.csv", vocabulary=vocabulary)
    write_list(two_sources, tmp_path / "again.csv", vocabulary=vocabulary)
    assert (tmp_path / "list.csv").read_text() == (tmp_path / "again.csv").read_text()
    pairs = read_pairs(tmp_path / "list.csv")
    assert len(pairs) == count == 30
    assert all(pair.class_id != pair.other_class_id for pair in pairs)


def test_weak_labels_of_a_split_that_is_not_there_are_named(
    two_sources: Path, vocabulary: Vocabulary
) -> None:
    assert [record.clip_id for record in read_split(two_sources, split="eval", vocabulary=vocabulary)][:2] == [
        "clip0", "clip1",
    ]  # fmt: skip
    with pytest.raises(DataError, match="test_segments"):
        read_split(two_sources, split="test", vocabulary=vocabulary)
