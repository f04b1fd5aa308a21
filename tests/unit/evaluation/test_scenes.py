from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from tests.unit.evaluation.conftest import DOG, PIANO, RAIN
from uss_ray.errors import DataError
from uss_ray.evaluation.scenes import (
    TEXTURE_FADE_SECONDS,
    PieceCandidate,
    SceneMakeup,
    build_scenes,
    draw_scenes,
)
from uss_ray.ontology.vocabulary import Vocabulary

CANDIDATES = [
    PieceCandidate(f"clip{number}", f"class{number % 8}", ((1.0, 2.0), (3.0, 4.5)), -20.0 - number, 0.5)
    for number in range(16)
]
TEXTURES = [
    PieceCandidate(f"below{number}", f"texture{number % 2}", ((0.5, 3.917 + 0.7 * number),), -40.0, 0.1)
    for number in range(4)
]
OPEN = SceneMakeup(targets=(0, 6), repeated=0.3, textures=0.5)


def never(one: str, other: str) -> bool:
    return one == other


def test_a_list_depends_on_its_seed_and_on_no_order() -> None:
    drawn = draw_scenes(CANDIDATES, related=never, count=5)
    shuffled = random.Random(1).sample(CANDIDATES, len(CANDIDATES))
    assert draw_scenes(shuffled, related=never, count=5) == drawn
    assert draw_scenes(CANDIDATES, related=never, count=5, seed=1) != drawn
    assert draw_scenes(CANDIDATES, related=never, count=3) == drawn[:3]


def test_a_scene_is_as_large_as_it_says_and_holds_its_pieces() -> None:
    candidates = {candidate.clip_id: candidate for candidate in CANDIDATES}
    spread = []
    for scene in draw_scenes(CANDIDATES, related=never, count=40):
        assert 20 <= scene.seconds <= 40
        assert 3 <= len(scene.class_ids) <= 6
        levels = {
            class_id: [
                piece.gain_db + candidates[piece.clip_id].level_dbfs
                for piece in scene.pieces
                if piece.class_id == class_id
            ]
            for class_id in scene.class_ids
        }
        # Gains are rounded to a tenth of a dB.
        assert all(max(own) - min(own) <= 0.11 for own in levels.values())
        spread.append(max(map(max, levels.values())) - min(map(min, levels.values())))
        for piece in scene.pieces:
            assert piece.position_seconds + piece.seconds <= scene.seconds
            assert piece.sounds[0][0] - piece.position_seconds == pytest.approx(0.05)
            peak = candidates[piece.clip_id].peak * 10 ** (piece.gain_db / 20)
            assert peak * len(scene.class_ids) <= 0.92
    assert max(spread) <= 24.1
    assert np.mean(spread) > 8


def test_scenes_may_be_empty_have_a_class_twice_and_a_texture_below() -> None:
    scenes = draw_scenes(CANDIDATES, related=never, count=80, makeup=OPEN, textures=TEXTURES)
    assert {len({piece.source for piece in scene.pieces}) for scene in scenes} == set(range(7))
    assert all(scene.texture for scene in scenes if not scene.pieces)
    assert 0.4 < sum(bool(scene.texture) for scene in scenes) / len(scenes) < 0.75
    twice = [scene for scene in scenes if len(scene.class_ids) < len({p.source for p in scene.pieces})]
    assert 10 < len(twice) < 60
    for scene in twice:
        sources = {piece.source: piece.class_id for piece in scene.pieces}
        clips = {source: {p.clip_id for p in scene.pieces if p.source == source} for source in sources}
        for one in sources:
            for other in sources:
                assert one == other or not clips[one] & clips[other]
    for scene in scenes:
        assert len({piece.class_id for piece in scene.texture}) <= 1
        end = TEXTURE_FADE_SECONDS
        for piece in scene.texture:
            assert piece.position_seconds == pytest.approx(end - TEXTURE_FADE_SECONDS, abs=0.002)
            assert piece.start_seconds == 0.5
            # 12 to 24 dB below what sources are around, or further down where the scene is turned down
            assert piece.gain_db - 40.0 <= -41.9
            end = piece.position_seconds + piece.seconds
        assert not scene.texture or scene.seconds - end < TEXTURE_FADE_SECONDS + 0.01


def test_a_texture_is_of_no_class_that_is_related_and_an_empty_scene_needs_one() -> None:
    def related(one: str, other: str) -> bool:
        return one == other or {one, other} == {"class0", "texture0"}

    for scene in draw_scenes(CANDIDATES, related=related, count=40, makeup=OPEN, textures=TEXTURES):
        assert "class0" not in scene.class_ids or {"texture0"} != {p.class_id for p in scene.texture}
    with pytest.raises(DataError, match="expected a texture for one without targets"):
        draw_scenes(CANDIDATES, related=never, count=1, makeup=SceneMakeup(targets=(0, 0)))


def test_related_classes_never_share_a_scene() -> None:
    def related(one: str, other: str) -> bool:
        return one == other or {one, other} <= {"class0", "class1", "class2"}

    for scene in draw_scenes(CANDIDATES, related=related, count=30):
        assert len({"class0", "class1", "class2"}.intersection(scene.class_ids)) <= 1
    with pytest.raises(DataError, match="not related"):
        draw_scenes(CANDIDATES, related=lambda _one, _other: True, count=1)


def test_the_same_id_in_two_sets_is_refused(two_sources: Path, vocabulary: Vocabulary) -> None:
    with pytest.raises(DataError, match="in two"):
        build_scenes([two_sources, two_sources], vocabulary=vocabulary, count=1)


def test_scenes_of_a_data_set_whose_events_are_known(two_sources: Path, vocabulary: Vocabulary) -> None:
    # Of three classes a scene of three sources can be drawn, and none of more.
    (scene,) = build_scenes([two_sources], vocabulary=vocabulary, count=1, seed=3)
    with pytest.raises(DataError, match="not related"):
        build_scenes([two_sources], vocabulary=vocabulary, count=1, seed=2)
    assert set(scene.class_ids) == {DOG, RAIN, PIANO}
    sine_db = 20 * math.log10(0.1 / math.sqrt(2))
    assert all(abs(piece.gain_db + sine_db + 30) <= 12.2 for piece in scene.pieces)
