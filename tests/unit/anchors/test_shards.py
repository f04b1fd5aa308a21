from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from uss_ray.anchors.anchor import Reject
from uss_ray.anchors.manifest import MiningManifest, read_manifest, write_manifest
from uss_ray.anchors.shards import ROW_GROUP_ANCHORS, write_anchor_shard, write_reject_shard
from uss_ray.anchors.stream import AnchorShards
from uss_ray.errors import DataError, OutputError
from uss_ray.store.store import Store


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path: Path):
    yield str(tmp_path / "mined") if request.param == "local" else f"memory://{tmp_path.name}/mined"
    fsspec.filesystem("memory").store.clear()


def fill(root: str, make_anchor) -> list:
    """Two shards: class 3 has 20 anchors in the first and 2 in the second, class 7 one, class 9 three."""
    one = write_anchor_shard(
        [make_anchor(n, 3) for n in range(20)] + [make_anchor(50, 7)], Store(root) / "anchors/a.parquet"
    )
    two = write_anchor_shard(
        [make_anchor(n, c) for n, c in ((30, 9), (31, 3), (32, 9), (33, 3), (34, 9))],
        Store(root) / "anchors/b.parquet",
    )
    return [one, two]


def manifest_of(shards: list) -> MiningManifest:
    return MiningManifest.of(
        shards,
        rejects={"silent": 2},
        weights_name="starter",
        weights_sha256="ab",
        class_list_sha256="cd",
        settings={"silence_db": float("-inf"), "mode": "paper"},
        sample_rate=32_000,
        clips=26,
    )


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


@pytest.mark.parametrize("has_manifest", [True, False])
def test_counts_and_classes_with_and_without_a_manifest(root: str, make_anchor, has_manifest: bool) -> None:
    shards = fill(root, make_anchor)
    if has_manifest:
        write_manifest(manifest_of(shards), root)
    reader = AnchorShards(root)
    assert reader.counts == {3: 22, 7: 1, 9: 3}
    assert {anchor.clip_id for anchor in reader.iter_class(9, seed=1)} == {"clip030", "clip032", "clip034"}
    assert {anchor.class_index for anchor in reader.iter_class(3)} == {3}
    with pytest.raises(DataError, match="expected anchors of class 5, found none"):
        next(reader.iter_class(5))


def test_a_class_is_read_without_the_others(root: str, make_anchor, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = fill(root, make_anchor)
    write_manifest(manifest_of(shards), root)
    reader = AnchorShards(root)
    opened: list[str] = []
    real = Store.open

    def watched(place):
        opened.append(str(place))
        return real(place)

    monkeypatch.setattr(Store, "open", watched)
    assert [anchor.waveform.size for anchor in reader.iter_class(7)] == [4000]
    assert {name.rsplit("/", 1)[1] for name in opened} == {"a.parquet"}
    assert len(opened) == 2


def test_a_pass_holds_every_anchor_once_in_an_order_of_its_seed(root: str, make_anchor) -> None:
    fill(root, make_anchor)
    reader = AnchorShards(root)
    orders = [[anchor.clip_id for anchor in reader.iter_class(3, seed=seed)] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])
    assert len(set(orders[0])) == 22


def test_the_balanced_stream_gives_every_class_its_turn(root: str, make_anchor) -> None:
    fill(root, make_anchor)
    reader = AnchorShards(root)
    drawn = list(islice(reader.balanced_stream(seed=5), 66))
    assert Counter(anchor.class_index for anchor in drawn) == {3: 22, 7: 22, 9: 22}
    rounds = [{anchor.class_index for anchor in drawn[n : n + 3]} for n in range(0, 66, 3)]
    assert all(classes == {3, 7, 9} for classes in rounds)
    assert len({anchor.clip_id for anchor in drawn if anchor.class_index == 3}) == 22
    again = list(islice(AnchorShards(root).balanced_stream(seed=5), 66))
    assert [anchor.anchor_id for anchor in again] == [anchor.anchor_id for anchor in drawn]
    other = list(islice(reader.balanced_stream(seed=6), 66))
    assert [anchor.anchor_id for anchor in other] != [anchor.anchor_id for anchor in drawn]
    some = islice(reader.balanced_stream(seed=5, classes=[9]), 6)
    assert Counter(anchor.clip_id for anchor in some) == {"clip030": 2, "clip032": 2, "clip034": 2}
    with pytest.raises(DataError, match="class 4"):
        next(reader.balanced_stream(seed=5, classes=[3, 4]))


def test_the_manifest_decides_which_shards_count(root: str, make_anchor) -> None:
    shards = fill(root, make_anchor)
    write_manifest(manifest_of(shards[:1]), root)
    assert AnchorShards(root).counts == {3: 20, 7: 1}


def test_a_manifest_comes_back_and_its_counts_are_checked(root: str, make_anchor) -> None:
    manifest = manifest_of(fill(root, make_anchor))
    write_manifest(manifest, root)
    place = Store(root) / "manifest.json"
    again = read_manifest(root)
    assert again.counts == {3: 22, 7: 1, 9: 3}
    assert again.anchors == 26
    assert again.shards == manifest.shards
    assert again.settings["silence_db"] == "-inf"
    text = place.read().decode()
    place.put(text.replace('"anchors": 26', '"anchors": 27').encode())
    with pytest.raises(DataError, match="expected 26 anchors as its shards hold, found 27"):
        read_manifest(root)
    place.put(b"{}")
    with pytest.raises(DataError, match="a mining manifest"):
        read_manifest(root)


def test_two_shards_of_one_name_are_refused(root: str, make_anchor) -> None:
    one, _ = fill(root, make_anchor)
    with pytest.raises(DataError, match="expected each name once"):
        manifest_of([one, one])


def test_a_file_that_is_no_shard_is_named(root: str, make_anchor) -> None:
    fill(root, make_anchor)
    (Store(root) / "anchors/c.parquet").put(b"no parquet")
    with pytest.raises(DataError, match=r"c\.parquet: expected a Parquet file"):
        AnchorShards(root)


def test_a_folder_without_shards_is_named(tmp_path: Path) -> None:
    (tmp_path / "anchors").mkdir()
    with pytest.raises(DataError, match=r"expected shards \(anchors/\*\.parquet\), found none"):
        AnchorShards(tmp_path)


def test_rejects_are_written_and_counted(root: str) -> None:
    rejects = [Reject(clip_id="a", reason="missing"), Reject(clip_id="b", reason="missing")]
    place = Store(root) / "rejects/a.parquet"
    assert write_reject_shard(rejects, place) == {"missing": 2}
    with place.open() as file:
        assert pq.read_table(file)["clip_id"].to_pylist() == ["a", "b"]
