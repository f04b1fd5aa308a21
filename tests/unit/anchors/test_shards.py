from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.unit.anchors.conftest import fill
from uss_ray.anchors.anchor import Reject
from uss_ray.anchors.shards import ROW_GROUP_ANCHORS, write_anchor_shard, write_reject_shard
from uss_ray.errors import OutputError
from uss_ray.store.store import Store


def test_every_row_group_holds_one_class(tmp_path: Path, make_anchor) -> None:
    [one, _] = fill(str(tmp_path), make_anchor)
    parquet = pq.ParquetFile(tmp_path / "anchors" / "a.parquet")
    groups = [parquet.read_row_group(n)["class_index"].to_pylist() for n in range(parquet.num_row_groups)]
    assert groups == [[3] * ROW_GROUP_ANCHORS, [3] * (20 - ROW_GROUP_ANCHORS), [7]]
    assert (one.name, one.rows, one.counts) == ("anchors/a.parquet", 21, {3: 20, 7: 1})
    assert one.bytes == (tmp_path / "anchors" / "a.parquet").stat().st_size


def test_the_same_anchors_in_any_order_give_the_same_bytes(tmp_path: Path, make_anchor) -> None:
    anchors = [make_anchor(n, n % 3) for n in range(9)]
    one = write_anchor_shard(anchors, tmp_path / "one.parquet")
    two = write_anchor_shard(reversed(anchors), tmp_path / "two.parquet")
    assert one.sha256 == two.sha256
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_shard_that_cannot_be_written_leaves_nothing(tmp_path: Path, make_anchor) -> None:
    (tmp_path / "anchors").write_text("a file where the folder belongs")
    with pytest.raises(OutputError, match="anchors"):
        write_anchor_shard([make_anchor(1, 1)], tmp_path / "anchors" / "a.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["anchors"]


def test_an_encoder_that_fails_leaves_no_shard(tmp_path: Path, make_anchor) -> None:
    def anchors():
        yield make_anchor(1, 1)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_anchor_shard(anchors(), tmp_path / "anchors" / "a.parquet")
    assert not (tmp_path / "anchors").exists()


def test_rejects_are_written_and_counted(root: str) -> None:
    rejects = [Reject(clip_id="a", reason="missing"), Reject(clip_id="b", reason="missing")]
    place = Store(root) / "rejects/a.parquet"
    assert write_reject_shard(rejects, place) == {"missing": 2}
    with place.open() as file:
        assert pq.read_table(file)["clip_id"].to_pylist() == ["a", "b"]
