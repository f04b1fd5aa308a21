from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.evaluation.conftest import DOG, PIANO, RAIN
from uss_ray.errors import ConfigError, DataError, WeightsError
from uss_ray.evaluation.pairs import EvaluationPair, read_pairs
from uss_ray.evaluation.protocol import check_query, plan_for_pair, read_split, settings_for, write_list
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import build_engine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.settings import SeparationSettings
from uss_ray.weights.folder import read_folder

PAIR = EvaluationPair(DOG, "clip0", 3.0, PIANO, "clip2", 3.0)


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


def test_a_class_is_asked_for_by_name_and_the_target_itself_as_an_example(
    two_means: Path, vocabulary: Vocabulary
) -> None:
    engine = build_engine(read_folder(two_means), vocabulary=vocabulary)
    target = ArraySource(0.1 * np.random.default_rng(0).standard_normal(64_000), sample_rate=32_000)
    by_name = plan_for_pair(
        PAIR, query="class-mean", target=target, engine=engine, settings=SeparationSettings()
    )
    assert [one.key for one in by_name.targets] == [DOG]
    assert by_name.targets[0].condition is None
    oracle = plan_for_pair(PAIR, query="oracle", target=target, engine=engine, settings=SeparationSettings())
    assert oracle.targets[0].condition is not None


def test_the_query_decides_the_condition() -> None:
    default = SeparationSettings()
    assert settings_for("detected", default).condition == "detected"
    assert settings_for("class-mean", default).condition == "class-mean"
    assert settings_for("oracle", default) == default


def test_what_cannot_be_scored_is_refused(two_means: Path, vocabulary: Vocabulary) -> None:
    weights = read_folder(two_means)
    piano = EvaluationPair(PIANO, "clip2", 3.0, RAIN, "clip1", 3.0)
    check_query("class-mean", pairs=[PAIR], weights=weights, vocabulary=vocabulary)
    with pytest.raises(WeightsError, match=f"class mean of each class, found none of {PIANO}"):
        check_query("class-mean", pairs=[PAIR, piano], weights=weights, vocabulary=vocabulary)
    with pytest.raises(ConfigError, match="class-mean or detected or oracle"):
        check_query("best", pairs=[PAIR], weights=weights, vocabulary=vocabulary)  # type: ignore[arg-type]
