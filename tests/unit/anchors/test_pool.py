from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from uss_ray.anchors.pool import AnchorPool
from uss_ray.anchors.shards import write_anchor_shard
from uss_ray.anchors.stream import AnchorShards
from uss_ray.audio.pcm import to_float
from uss_ray.errors import DataError


@pytest.fixture
def anchors(make_anchor):
    """Of two clips; the first has two classes in the same place."""
    soft = [np.array([n, 1], np.float32) for n in range(4)]
    shared = make_anchor(0, 3, soft=soft[0])
    return [
        shared,
        make_anchor(0, 1, soft=soft[1], waveform=shared.waveform, label_indexes=(1, 3)),
        make_anchor(1, 3, soft=soft[2]),
        make_anchor(1, 3, start=700, soft=soft[3]),
    ]


def test_anchors_are_the_same_however_they_were_shared_out(tmp_path: Path, anchors) -> None:
    write_anchor_shard(anchors, tmp_path / "one" / "anchors" / "a.parquet")
    for number, anchor in enumerate(reversed(anchors)):
        write_anchor_shard([anchor], tmp_path / "four" / "anchors" / f"{number}.parquet")
    one, four = (AnchorPool.load(AnchorShards(tmp_path / name)) for name in ("one", "four"))
    assert len(one) == 4
    assert one.class_indexes.tolist() == four.class_indexes.tolist() == [1, 3, 3, 3]
    assert one.conditions[:, 0].tolist() == four.conditions[:, 0].tolist() == [1, 0, 2, 3]
    for pool in (one, four):
        assert len(pool.audio) == 3
        assert np.array_equal(pool.waveform(np.array([1]), samples=50)[0], to_float(anchors[0].waveform[:50]))
        assert np.array_equal(pool.waveform(np.array([3]), samples=50)[0], to_float(anchors[3].waveform[:50]))
        assert pool.labels(np.array([0, 2]), classes=501).nonzero()[1].tolist() == [1, 3, 3, 500]


def test_anchors_without_the_bottlenecks_are_refused(tmp_path: Path, anchors) -> None:
    write_anchor_shard(anchors, tmp_path / "anchors" / "a.parquet")
    with pytest.raises(DataError, match="mined with latent conditions"):
        AnchorPool.load(AnchorShards(tmp_path), conditions="latent")


def test_anchors_of_two_lengths_are_refused(tmp_path: Path, make_anchor) -> None:
    mixed = [make_anchor(n, 1, samples=4000 + n, soft=np.ones(2, np.float32)) for n in range(2)]
    write_anchor_shard(mixed, tmp_path / "anchors" / "a.parquet")
    with pytest.raises(DataError, match="one length and rate"):
        AnchorPool.load(AnchorShards(tmp_path))


def test_an_empty_set_is_refused(tmp_path: Path) -> None:
    write_anchor_shard([], tmp_path / "anchors" / "a.parquet")
    with pytest.raises(DataError, match="expected anchors, found none"):
        AnchorPool.load(AnchorShards(tmp_path))
