from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.evaluation.conftest import DOG, PIANO, RAIN
from uss_ray.datasets.clips import LoadedClips
from uss_ray.datasets.segments import ClipRecord
from uss_ray.evaluation.pairs import EvaluationPair, write_pairs
from uss_ray.evaluation.protocol import build_pairs
from uss_ray.evaluation.separation import (
    PairScores,
    SeparatedMixtures,
    evaluate_separation,
    mix_pairs,
    separate_mixtures,
)
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import build_engine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import SeparationPlan, targets_for_classes
from uss_ray.weights.folder import read_folder

PAIRS = [EvaluationPair("a", "c0", 0.0, "b", "c1", 0.0), EvaluationPair("b", "c3", 0.2, "a", "c2", 0.0)]


def noise_clips() -> LoadedClips:
    rng = np.random.default_rng(0)
    audio = (rng.standard_normal((4, 1000)) * 3000).astype(np.int16)
    return LoadedClips(
        [ClipRecord(f"c{k}", 0, 1, (k % 2,)) for k in range(4)], audio, sample_rate=1000, classes=2
    )


def test_mixtures_are_of_equal_energy() -> None:
    [(pairs, mixtures, targets)] = mix_pairs(PAIRS, noise_clips(), segment_seconds=0.5)
    assert pairs == PAIRS
    assert mixtures.shape == targets.shape == (2, 500)
    np.testing.assert_allclose(
        np.square(mixtures - targets).sum(axis=1), np.square(targets).sum(axis=1), rtol=1e-4
    )


def test_scores_are_the_median_of_a_class_with_the_gate_open_and_as_it_is_set() -> None:
    scores = PairScores()
    for pairs, mixtures, targets in mix_pairs(
        [*PAIRS, PAIRS[0]], noise_clips(), segment_seconds=0.5, batch_size=2
    ):
        tenth = targets + (mixtures - targets) * 0.1
        heard = np.array([pair.class_id == "b" for pair in pairs])
        separated = SeparatedMixtures(tenth, np.where(heard[:, None], tenth, np.float32(0)), heard)
        scores.add(pairs, separated, targets=targets, mixtures=mixtures)
    assert len(scores) == 3
    one, other = scores.by_class()
    assert (one.class_id, one.pairs, one.detected) == ("a", 2, 0.0)
    assert (one.sdri_db, other.sdri_db) == pytest.approx((20, 20), abs=1e-3)
    assert (one.gated_sdri_db, other.gated_sdri_db) == pytest.approx((0, 20), abs=1e-3)
    assert other.detected == 1.0


def test_a_mixture_is_separated_as_a_recording_of_its_own(two_means: Path, vocabulary: Vocabulary) -> None:
    engine = build_engine(read_folder(two_means), vocabulary=vocabulary)
    mixtures = (0.1 * np.random.default_rng(0).standard_normal((2, 64_000))).astype(np.float32)
    plans = [SeparationPlan(targets_for_classes(vocabulary, names=[name])) for name in (RAIN, DOG)]
    settings = SeparationSettings()
    found = separate_mixtures(mixtures, plans, engine=engine, sample_rate=32_000, settings=settings)
    assert found.detected.tolist() == [True, False]
    [block] = engine.stream(ArraySource(mixtures[0], sample_rate=32_000), plans[0], settings=settings)
    np.testing.assert_array_equal(found.gated[0], block.estimates[RAIN][0])
    np.testing.assert_array_equal(found.gated[0], found.opened[0])
    assert not found.gated[1].any()
    assert found.opened[1].any()


def test_a_set_is_scored_with_each_query(
    two_sources: Path, two_means: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    done: list[float] = []
    listed = build_pairs(two_sources, vocabulary=vocabulary, segment_seconds=2.0)[::5]
    write_pairs(listed, tmp_path / "list.csv")
    found = {
        query: evaluate_separation(
            two_sources,
            weights=str(two_means),
            query=query,  # type: ignore[arg-type]
            pairs=tmp_path / "list.csv",
            vocabulary=vocabulary,
            progress=lambda number, _: done.append(number),
        )
        for query in ("detected", "oracle")
    }
    assert done[-1] == len(listed) == 6
    detected, oracle = found["detected"], found["oracle"]
    assert {score.class_id for score in oracle.classes} == {DOG, RAIN, PIANO}
    assert oracle.mean_sdri_db != detected.mean_sdri_db
    assert (oracle.detected, detected.detected) == (1.0, pytest.approx(1 / 3))
    assert oracle.mean_sdri_db == oracle.gated_mean_sdri_db
    by_class = {score.class_id: score for score in detected.classes}
    assert by_class[RAIN].gated_sdri_db == by_class[RAIN].sdri_db
    assert by_class[DOG].gated_sdri_db == pytest.approx(0.0, abs=0.01)
    told = json.loads(detected.to_json())
    assert (told["pairs"], told["settings"]["threshold"], told["settings"]["condition"]) == (
        6,
        None,
        "detected",
    )
    assert oracle.list_sha256 == detected.list_sha256
