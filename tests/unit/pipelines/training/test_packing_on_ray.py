from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.synthetic_set import make_synthetic_set
from tests.unit.pipelines.training.test_packing import files_of, request_of
from uss_ray.pipelines.training.packing import pack_here
from uss_ray.pipelines.training.packing_on_ray import pack_anchors


@pytest.mark.slow
@pytest.mark.ray
def test_ray_packs_to_the_same_bytes(tmp_path: Path, nothing_held_afterwards: None) -> None:
    large_set = make_synthetic_set(tmp_path, count=120)
    alone, together = tmp_path / "alone", tmp_path / "together"
    pack_here(request_of(large_set, alone, shard_mebibytes=1))
    result = pack_anchors(request_of(large_set, together, shard_mebibytes=1))
    assert result.exit_code == 0
    assert (result.summary.anchors, result.summary.shards_written) == (
        480,
        len(list((alone / "shards").iterdir())),
    )
    assert files_of(together) == files_of(alone)
    assert json.loads((together / "summary.json").read_text())["unfinished"] == 0
    again = pack_anchors(request_of(large_set, together, shard_mebibytes=1))
    assert (again.exit_code, again.summary.shards_written) == (0, 0)
