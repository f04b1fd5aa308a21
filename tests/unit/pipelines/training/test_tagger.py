from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.training.test_tagger import TonesAndNoise, recipe_of
from uss_ray.errors import ConfigError
from uss_ray.pipelines.training.tagger import train_tagger_here
from uss_ray.weights.folder import load_weights


def test_a_tagger_is_trained_kept_and_written(tmp_path: Path) -> None:
    given = {"segment_seconds": 0.5, "class_ids": ("/t/0", "/t/1"), "known_classes": [0, 1], "device": "cpu"}
    folder = train_tagger_here(
        recipe_of(steps=2), TonesAndNoise(), run=str(tmp_path / "run"), output=tmp_path / "ear", **given
    )
    weights = load_weights(folder)
    assert weights.tagger is not None
    assert weights.specifications.known_classes == (0, 1)
    assert weights.source is not None
    assert weights.source["step"] == 2
    with pytest.raises(ConfigError, match=r"expected recipe\.fit\.steps 2, as the run there"):
        train_tagger_here(
            recipe_of(steps=3), TonesAndNoise(), run=str(tmp_path / "run"), output=tmp_path / "ear", **given
        )
