from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.synthetic_set import LABELS, SyntheticSet
from tests.unit.anchors.conftest import MakeAnchor, manifest_of
from uss_ray.anchors import packed
from uss_ray.anchors.manifest import write_manifest
from uss_ray.anchors.pack_plan import plan_pack
from uss_ray.anchors.packed import (
    finish_pack,
    missing_shards,
    part_place,
    read_pack_manifest,
    shard_place,
    write_packed_shard,
)
from uss_ray.anchors.schema import read_anchors
from uss_ray.anchors.shards import write_anchor_shard
from uss_ray.anchors.stream import AnchorShards
from uss_ray.errors import DataError, OutputError
from uss_ray.store.store import Store


def pack(source: AnchorShards, root: Path, *, order: int = 1) -> Store:
    place = Store(root, error=OutputError)
    plan = plan_pack(source.row_groups(), seed=0, shard_bytes=200_000)
    assert len(plan) > 2
    for number in list(range(len(plan)))[::order]:
        write_packed_shard(source, plan.shard(number), pack=place)
    finish_pack(place, shards=len(plan), source=source, seed=0)
    return place


def test_anchors_of_two_lengths_make_no_pack(make_anchor: MakeAnchor, tmp_path: Path) -> None:
    shards = [
        write_anchor_shard(
            [make_anchor(n, 3, samples=length) for n in range(3)],
            tmp_path / "mined" / "anchors" / f"{length}.parquet",
        )
        for length in (4000, 5000)
    ]
    write_manifest(manifest_of(shards), tmp_path / "mined")
    source, place = AnchorShards(tmp_path / "mined"), Store(tmp_path / "packed", error=OutputError)
    plan = plan_pack(source.row_groups(), seed=0, shard_bytes=1 << 20)
    write_packed_shard(source, plan.shard(0), pack=place)
    with pytest.raises(DataError, match=r"anchors of one length and rate, found lengths \[4000, 5000\]"):
        finish_pack(place, shards=len(plan), source=source, seed=0)
    assert not (place / "pack.json").exists()


def test_a_pack_holds_every_anchor_with_its_audio(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    source = AnchorShards(synthetic_set.anchors)
    place = pack(source, tmp_path / "pack")
    manifest = read_pack_manifest(place)
    wanted = {
        anchor.anchor_id: anchor.waveform.tobytes()
        for index in range(len(LABELS))
        for anchor in source.iter_class(index)
    }
    found = {}
    for shard in manifest.shards:
        file = pq.ParquetFile(str(shard_place(place, shard.number)))
        for anchor in read_anchors(file.read()):
            found[anchor.anchor_id] = anchor.waveform.tobytes()
    assert found == wanted
    assert manifest.counts == {0: 40, 1: 40, 2: 40, 3: 40}
    assert (manifest.sample_rate, manifest.samples, manifest.conditions) == (8000, 4000, ("soft",))


def test_whatever_was_written_first_the_bytes_are_the_same(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    source = AnchorShards(synthetic_set.anchors)
    one, other = pack(source, tmp_path / "one"), pack(source, tmp_path / "other", order=-1)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) > 5
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
    assert read_pack_manifest(one).data_sha256 == read_pack_manifest(other).data_sha256


def test_a_packed_shard_opens_each_file_once_and_holds_what_is_set(
    synthetic_set: SyntheticSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = AnchorShards(synthetic_set.anchors)
    plan = plan_pack(source.row_groups(), seed=0, shard_bytes=200_000).shard(1)
    opened, real = [], Store.open

    def watched(place):
        opened.append(place.name)
        return real(place)

    monkeypatch.setattr(Store, "open", watched)
    once = write_packed_shard(source, plan, pack=Store(tmp_path / "once", error=OutputError))
    assert sorted(opened) == ["a.parquet", "b.parquet"]
    opened.clear()
    monkeypatch.setattr(packed, "_HELD_BYTES", 1)
    by_group = write_packed_shard(source, plan, pack=Store(tmp_path / "by-group", error=OutputError))
    assert len(opened) > len(plan.groups) > 2
    assert once == by_group


def test_class_means_are_weighted_by_score(synthetic_set: SyntheticSet) -> None:
    anchors = list(AnchorShards(synthetic_set.anchors).iter_class(2))
    mean = np.average(
        [anchor.soft for anchor in anchors], axis=0, weights=[anchor.score for anchor in anchors]
    )
    assert synthetic_set.open().class_means("soft")[2] == pytest.approx(mean, abs=1e-5)


def test_shards_without_their_part_are_missing(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    place = pack(AnchorShards(synthetic_set.anchors), tmp_path / "pack")
    part_place(place, 1).remove()
    assert missing_shards(place, shards=4) == [1, 3]
    assert missing_shards(Store(tmp_path / "none"), shards=2) == [0, 1]


def test_a_pack_that_is_not_finished_or_altered_is_refused(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"expected a finished pack .*, found no pack\.json"):
        read_pack_manifest(Store(tmp_path))
    copy = tmp_path / "copy"
    shutil.copytree(synthetic_set.pack, copy)
    manifest = json.loads((copy / "pack.json").read_text())
    (copy / "pack.json").write_text(json.dumps(manifest | {"sample_rate": "fast"}))
    with pytest.raises(DataError, match="expected a pack, found sample_rate"):
        read_pack_manifest(Store(copy))


def test_a_damaged_part_is_told(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    source = AnchorShards(synthetic_set.anchors)
    place = pack(source, tmp_path / "pack")
    part_place(place, 0).put(b"PAR1 no")
    with pytest.raises(DataError, match="expected the catalogue of a packed shard"):
        finish_pack(place, shards=3, source=source, seed=0)
