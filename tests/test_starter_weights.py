"""The weights in the package: they load, they are small, and they separate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from uss_ray.evaluation.averages import class_median_mean
from uss_ray.evaluation.benchmarks.known import list_of_pairs
from uss_ray.evaluation.metrics import sdr_improvement
from uss_ray.evaluation.pairs import read_pairs, write_pairs
from uss_ray.evaluation.protocol import build_pairs
from uss_ray.evaluation.queries import ByNode
from uss_ray.evaluation.sounds import SoundShelf, mix
from uss_ray.evaluation.systems import EngineSystem
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import build_engine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import SeparationPlan, target_for_condition
from uss_ray.store.store import Store
from uss_ray.weights.folder import Weights, read_folder
from uss_ray.weights.known import starter_folder

ROOT = Path(__file__).parents[1]
TWO_SOURCE = Path(__file__).parent / "data" / "two_source"
LIST = ROOT / "benchmarks" / "lists" / "audioset_mini_eval.csv"
# The whole data set is no part of the project; where it lies beside a checkout, the full list is scored too.
AUDIOSET_MINI = Path(
    os.environ.get("USS_RAY_AUDIOSET_MINI", ROOT.parent / "shared" / "data" / "audioset_mini")
)

MIXTURE_DOWN_BY_HALF_DB = 3.01


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture(scope="module")
def weights() -> Weights:
    return read_folder(starter_folder())


def test_they_are_small_and_complete(weights: Weights, vocabulary: Vocabulary) -> None:
    weights.check_classes(vocabulary.classes.ids)
    assert weights.separator is not None
    assert weights.detector is weights.tagger
    assert weights.class_means is not None
    assert len(weights.class_means) == 128
    assert sum(path.stat().st_size for path in starter_folder().iterdir()) < 25e6
    assert "Limits" in (starter_folder() / "MODEL_CARD.md").read_text()


def sdri_by_class(
    data: Path, pairs: Path, *, query: Literal["class-mean", "detected"]
) -> dict[str, list[float]]:
    """Score the engine with its defaults on a list."""
    sounds = SoundShelf(Store(data))
    mixed = [mix(item, sounds) for item in list_of_pairs(pairs, Store(data)).items]
    engine = build_engine(read_folder(starter_folder()), vocabulary=Vocabulary.load())
    system = EngineSystem("engine", ByNode(engine, SeparationSettings(), name=query))
    found: dict[str, list[float]] = {}
    for item, separated in zip(mixed, system.separate(mixed), strict=True):
        [(label, target)] = item.targets.items()
        value = float(sdr_improvement(separated.estimates[label], target, item.mixture))
        found.setdefault(label, []).append(value)
    return found


@pytest.fixture(scope="module")
def two_source_list(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("list") / "pairs.csv"
    write_pairs(build_pairs(TWO_SOURCE, vocabulary=vocabulary, segment_seconds=2.0), path)
    return path


@pytest.mark.slow
def test_they_separate_sounds_they_never_heard_and_class_means_steer_better_than_what_is_detected(
    two_source_list: Path,
) -> None:
    means = sdri_by_class(TWO_SOURCE, two_source_list, query="class-mean")
    detected = sdri_by_class(TWO_SOURCE, two_source_list, query="detected")
    assert len(means) == 5
    values = [class_median_mean(found, draws=0).value or 0.0 for found in (means, detected)]
    assert values[0] > MIXTURE_DOWN_BY_HALF_DB + 0.5
    assert values[0] > values[1]


@pytest.mark.slow
def test_joins_cannot_be_heard(weights: Weights, vocabulary: Vocabulary) -> None:
    """A recording in segments against the same in one piece, under one condition: 50 dB below the estimate."""
    assert weights.separator is not None
    assert weights.class_means is not None
    rng = np.random.default_rng(0)
    samples = 12 * weights.specifications.sample_rate
    tone = np.sin(
        np.cumsum(
            2 * np.pi * (400 + 300 * np.sin(np.arange(samples) / 9000)) / weights.specifications.sample_rate
        )
    )
    mixture = (0.1 * tone + 0.05 * rng.standard_normal(samples)).astype(np.float32)[None]
    condition = weights.class_means[vocabulary.classes.index(vocabulary.resolve("Speech").node_id)]
    engine = build_engine(weights, vocabulary=vocabulary)
    target = target_for_condition("speech", condition=condition)
    blocks = list(
        engine.stream(
            ArraySource(mixture, sample_rate=weights.specifications.sample_rate), SeparationPlan((target,))
        )
    )
    joined = np.concatenate([block.estimates[target.key] for block in blocks], axis=1)[0]
    with torch.inference_mode():
        whole = weights.separator(torch.from_numpy(mixture), condition[None])[0].numpy()
    snr_db = 10 * np.log10(np.square(whole).sum() / np.square(whole - joined).sum())
    assert snr_db > 50


@pytest.mark.slow
@pytest.mark.skipif(not AUDIOSET_MINI.is_dir(), reason="audioset_mini is not beside this checkout")
def test_the_list_of_the_whole_data_set_can_be_rebuilt_and_is_separated(
    vocabulary: Vocabulary, tmp_path: Path
) -> None:
    listed = read_pairs(LIST)
    assert build_pairs(AUDIOSET_MINI, vocabulary=vocabulary, segment_seconds=2.0) == listed
    lines = LIST.read_text().splitlines()
    shorter = tmp_path / "list.csv"
    shorter.write_text("\n".join([lines[0], *lines[1::10]]) + "\n")
    found = sdri_by_class(AUDIOSET_MINI, shorter, query="class-mean")
    assert (class_median_mean(found, draws=0).value or 0.0) > MIXTURE_DOWN_BY_HALF_DB + 1.0
