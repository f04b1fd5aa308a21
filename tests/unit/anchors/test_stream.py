from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.unit.anchors.conftest import fill, manifest_of
from uss_ray.anchors import stream
from uss_ray.anchors.manifest import write_manifest
from uss_ray.anchors.pack_plan import Take
from uss_ray.anchors.stream import AnchorShards
from uss_ray.errors import DataError
from uss_ray.store.store import Store


def watch_opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each file that is opened from here on."""
    opened: list[str] = []
    real = Store.open

    def watched(place):
        opened.append(str(place))
        return real(place)

    monkeypatch.setattr(Store, "open", watched)
    return opened


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
    opened = watch_opened(monkeypatch)
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


def test_a_file_that_is_no_shard_is_named(root: str, make_anchor) -> None:
    fill(root, make_anchor)
    (Store(root) / "anchors/c.parquet").put(b"no parquet")
    with pytest.raises(DataError, match=r"c\.parquet: expected a Parquet file"):
        AnchorShards(root)


def test_a_folder_without_shards_is_named(tmp_path: Path) -> None:
    (tmp_path / "anchors").mkdir()
    with pytest.raises(DataError, match=r"expected shards \(anchors/\*\.parquet\), found none"):
        AnchorShards(tmp_path)


def test_who_looks_at_each_shard_once_keeps_no_footer(
    root: str, make_anchor, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_manifest(manifest_of(fill(root, make_anchor)), root)
    reader, opened = AnchorShards(root), watch_opened(monkeypatch)
    groups = reader.row_groups()
    assert groups.class_indexes.tolist() == [3, 3, 7, 3, 9]
    assert groups.rows.tolist() == [16, 4, 1, 2, 3]
    assert sum(map(len, reader.columns(["class_index"]))) == 26
    assert len(opened) == 4
    assert len(reader._footers) == 0


def test_footers_of_no_more_row_groups_than_set_stay(
    root: str, make_anchor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoded footer takes fifteen times the bytes it has in its file: row groups are counted."""
    write_manifest(manifest_of(fill(root, make_anchor)), root)
    monkeypatch.setattr(stream, "_FOOTER_GROUPS_KEPT", 4)
    reader = AnchorShards(root)
    assert len({anchor.clip_id for anchor in reader.iter_class(3, seed=0)}) == 22
    assert (len(reader._footers), reader._footers.row_groups) in ((1, 3), (1, 2))


def test_what_is_taken_at_once_opens_each_file_and_reads_each_group_once(
    root: str, make_anchor, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_manifest(manifest_of(fill(root, make_anchor)), root)
    reader = AnchorShards(root)
    parts = [Take(1, 1, 0, 2), Take(0, 0, 9, 16), Take(1, 0, 0, 2), Take(0, 2, 0, 1), Take(0, 0, 0, 9)]
    opened, read = watch_opened(monkeypatch), []
    real = pq.ParquetFile.read_row_group

    def watched(parquet, number, **more):
        read.append(number)
        return real(parquet, number, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    tables = reader.take(parts)
    assert [table["clip_id"].to_pylist() for table in tables] == [
        ["clip030", "clip032"],
        [f"clip{n:03d}" for n in range(9, 16)],
        ["clip031", "clip033"],
        ["clip050"],
        [f"clip{n:03d}" for n in range(9)],
    ]
    assert [name.rsplit("/", 1)[1] for name in opened] == ["a.parquet", "b.parquet"]
    assert read == [0, 2, 0, 1]


def test_the_order_of_shards_is_found_once(root: str, make_anchor, monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest(manifest_of(fill(root, make_anchor)), root)
    reader = AnchorShards(root)
    asked, real = [], Store.name.fget

    def watched(place):
        asked.append(str(place))
        return real(place)

    monkeypatch.setattr(Store, "name", property(watched))
    for _ in range(3):
        reader.take([Take(0, 0, 0, 1)])
    assert len(asked) == 2
