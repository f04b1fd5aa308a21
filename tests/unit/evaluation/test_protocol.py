from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.known import find_benchmark
from uss_ray.evaluation.pairs import read_pairs
from uss_ray.evaluation.protocol import build_pairs, read_split, write_list
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.store.store import Store


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


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            "other\teval\t3.0\t7.0\t/m/0bt9lr\ttarget",
            "tsv other: expected a clip of eval_segments.csv, found one",
        ),
        (
            "clip0\teval\t3.0\t7.0\t/m/zzz\tbackground",
            "tsv clip0: expected a class of the ontology, found /m/zzz",
        ),
    ],
)
def test_events_of_clips_and_classes_that_nobody_knows_are_named(
    two_sources: Path, vocabulary: Vocabulary, tmp_path: Path, event: str, expected: str
) -> None:
    shutil.copytree(two_sources / "metadata", tmp_path / "metadata")
    assert build_pairs(tmp_path, vocabulary=vocabulary, segment_seconds=2.0)
    mini = find_benchmark("mini")
    assert mini.check(Store(tmp_path), "eval").expected == 6
    events = tmp_path / "metadata" / "strong_labels.tsv"
    events.write_text(f"{events.read_text()}{event}\n")
    with pytest.raises(DataError, match=expected):
        build_pairs(tmp_path, vocabulary=vocabulary, segment_seconds=2.0)
    with pytest.raises(DataError, match=expected):
        mini.check(Store(tmp_path), "eval")
