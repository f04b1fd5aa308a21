"""Anchors made of tones and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from uss_ray.anchors.anchor import Anchor
from uss_ray.anchors.manifest import MiningManifest
from uss_ray.anchors.shards import ShardFacts, write_anchor_shard
from uss_ray.store.store import Store

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


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "mined") if request.param == "local" else f"memory://{tmp_path.name}/mined"
    fsspec.filesystem("memory").store.clear()


def fill(root: str, make_anchor: MakeAnchor) -> list[ShardFacts]:
    """Two shards: class 3 has 20 anchors in the first and 2 in the second, class 7 one, class 9 three."""
    one = write_anchor_shard(
        [make_anchor(n, 3) for n in range(20)] + [make_anchor(50, 7)], Store(root) / "anchors/a.parquet"
    )
    two = write_anchor_shard(
        [make_anchor(n, c) for n, c in ((30, 9), (31, 3), (32, 9), (33, 3), (34, 9))],
        Store(root) / "anchors/b.parquet",
    )
    return [one, two]


def manifest_of(shards: list[ShardFacts]) -> MiningManifest:
    return MiningManifest.of(
        shards,
        rejects={"silent": 2},
        weights_name="starter",
        weights_sha256="ab",
        class_list_sha256="cd",
        settings={"silence": {"anchor_rejected_below_rms_dbfs": None}, "mode": "paper"},
        sample_rate=32_000,
        clips=26,
    )
