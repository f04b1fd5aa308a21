from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.evaluation.conftest import DOG, RAIN
from uss_ray.evaluation.items import Item, ItemSource
from uss_ray.evaluation.scene_run import separate_levels, true_sounds
from uss_ray.evaluation.sounds import MixedItem, SoundShelf, mix
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.settings import SeparationSettings
from uss_ray.store.store import Store


def source(label: str, class_id: str, clip: str, position_seconds: float) -> ItemSource:
    return ItemSource(
        role="target",
        path=f"audio/eval/{clip}.wav",
        label=label,
        class_id=class_id,
        start_seconds=3.0,
        seconds=2.0,
        position_seconds=position_seconds,
    )


@pytest.fixture(scope="module")
def scene(two_sources: Path) -> MixedItem:
    item = Item(
        item_id="one",
        label="",
        seconds=4.0,
        sample_rate=32_000,
        protocol="strict",
        seed=0,
        sources=(source("Dog", DOG, "clip0", 0.0), source("Rain", RAIN, "clip1", 2.0)),
    )
    return mix(item, SoundShelf(Store(two_sources)))


def test_what_the_detector_hears_is_separated_and_counted(scene: MixedItem, engine: SeparationEngine) -> None:
    forwards: Counter[str] = Counter()
    levels = separate_levels(
        scene, engine=engine, settings=SeparationSettings(), levels=[1, 2], forwards=forwards
    )
    # The tagger hears rain alone, in both segments.
    written = {node.node_id for level in levels for node in level.nodes if node.is_written}
    assert written == {node.node_id for node in engine.vocabulary.ontology.ancestors(RAIN) if node.level < 3}
    assert forwards["tags"] == 2
    # Rain is separated once for both levels.
    assert forwards["separations"] == 2
    separate_levels(
        scene,
        engine=engine,
        settings=SeparationSettings(composition="nodes"),
        levels=[1, 2],
        forwards=forwards,
    )
    assert forwards["separations"] == 2 + 2 * len(written)


def test_an_oracle_asks_for_what_is_there(scene: MixedItem, engine: SeparationEngine) -> None:
    (level,) = separate_levels(
        scene, engine=engine, settings=SeparationSettings(), levels=[1], is_oracle=True
    )
    labels = {engine.vocabulary.ontology.node(node.node_id).label for node in level.nodes if node.is_written}
    assert labels == {"Animal", "Natural sounds"}
    assert all(node.is_true for node in level.nodes)


def test_two_sounds_of_a_class_are_one_truth_of_a_node(
    scene: MixedItem, engine: SeparationEngine, two_sources: Path
) -> None:
    sources = (source("Rain", RAIN, "clip1", 0.0), source("Rain (2)", RAIN, "clip4", 2.0))
    twice = mix(replace(scene.item, sources=sources), SoundShelf(Store(two_sources)))
    assert [len(sounds) for sounds in true_sounds(twice).values()] == [2]
    (level,) = separate_levels(
        twice, engine=engine, settings=SeparationSettings(), levels=[1], is_oracle=True
    )
    [rain] = (node for node in level.nodes if node.is_true)
    assert rain.sdr_db is not None
    assert rain.sdri_db is not None
    assert rain.sdr_db - rain.sdri_db > 60  # the mixture itself is what is true
