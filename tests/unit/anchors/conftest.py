"""Anchors made of tones and noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from uss_ray.anchors.anchor import Anchor

MakeAnchor = Callable[..., Anchor]
RATE = 32_000


@pytest.fixture
def make_anchor() -> MakeAnchor:
    def make(clip: int, class_index: int, *, samples: int = 4000, start: int = 0, **more: object) -> Anchor:
        rng = np.random.default_rng([clip, class_index])
        tone = 8000 * np.sin(2 * np.pi * (200 + 50 * class_index) * np.arange(samples) / RATE)
        values: dict[str, object] = {
            "clip_id": f"clip{clip:03d}",
            "class_index": class_index,
            "start_sample": start,
            "sample_rate": RATE,
            "score": float(np.float32(rng.random())),
            "purity": float(np.float32(rng.random())),
            "intruder_index": None if clip % 2 else 5,
            "level_db": -20.0,
            "label_indexes": (class_index, 500),
            "prob_indexes": (class_index, 500),
            "probs": np.array([0.5, 0.25], np.float32),
            "waveform": (tone + 100 * rng.standard_normal(samples)).astype(np.int16),
        }
        return Anchor(**{**values, **more})  # type: ignore[arg-type]

    return make
