from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.unit.evaluation.conftest import DOG, RAIN
from uss_ray.evaluation.scene_run import run_scenes
from uss_ray.evaluation.scenes import ClipShelf, Scene, ScenePiece
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import SeparationEngine, build_engine
from uss_ray.separation.settings import SeparationSettings
from uss_ray.weights.folder import read_folder

SCENE = Scene(
    "one",
    4,
    (
        ScenePiece("clip0", DOG, 3.0, 2.0, 0.0, 0.0, ((0.0, 2.0),)),
        ScenePiece("clip1", RAIN, 3.0, 2.0, 2.0, 0.0, ((2.0, 4.0),)),
    ),
)


@pytest.fixture(scope="module")
def clips(two_sources: Path, vocabulary: Vocabulary) -> ClipShelf:
    return ClipShelf.load(
        [two_sources], clip_ids=["clip0", "clip1"], vocabulary=vocabulary, sample_rate=32_000
    )


@pytest.fixture(scope="module")
def engine(two_means: Path, vocabulary: Vocabulary) -> SeparationEngine:
    return build_engine(read_folder(two_means), vocabulary=vocabulary)


def test_what_the_detector_hears_is_separated_and_counted(clips: ClipShelf, engine: SeparationEngine) -> None:
    forwards: Counter[str] = Counter()
    (levels,) = run_scenes(
        [SCENE], clips, engine=engine, settings=SeparationSettings(), levels=[1, 2], forwards=forwards
    )
    # The tagger hears rain alone, in both segments.
    written = {node.node_id for level in levels for node in level.nodes if node.is_written}
    assert written == {node.node_id for node in engine.vocabulary.ontology.ancestors(RAIN) if node.level < 3}
    assert forwards["tags"] == 2
    # Rain is separated once for both levels.
    assert forwards["separations"] == 2
    (levels,) = run_scenes(
        [SCENE],
        clips,
        engine=engine,
        settings=SeparationSettings(composition="nodes"),
        levels=[1, 2],
        forwards=forwards,
    )
    assert forwards["separations"] == 2 + 2 * len(written)


def test_an_oracle_asks_for_what_is_there(clips: ClipShelf, engine: SeparationEngine) -> None:
    ((level,),) = run_scenes(
        [SCENE], clips, engine=engine, settings=SeparationSettings(), levels=[1], is_oracle=True
    )
    labels = {engine.vocabulary.ontology.node(node.node_id).label for node in level.nodes if node.is_written}
    assert labels == {"Animal", "Natural sounds"}
    assert all(node.is_true for node in level.nodes)
