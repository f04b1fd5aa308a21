from __future__ import annotations

import json
import shutil
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.synthetic_set import SyntheticSet
from tests.unit.anchors.conftest import MakeAnchor, manifest_of
from uss_ray.anchors import packed_reader
from uss_ray.anchors.catalogue import CATALOGUE_SCHEMA
from uss_ray.anchors.manifest import write_manifest
from uss_ray.anchors.pack_plan import plan_pack
from uss_ray.anchors.packed import finish_pack, write_packed_shard
from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.anchors.shards import write_anchor_shard
from uss_ray.anchors.stream import AnchorShards
from uss_ray.errors import DataError
from uss_ray.pipelines.training.pack_request import PackRequest
from uss_ray.pipelines.training.packing import pack_here
from uss_ray.store.store import Store


def test_anchors_come_in_the_order_that_is_asked_for(synthetic_set: SyntheticSet) -> None:
    anchors = synthetic_set.open()
    rows = [159, 0, 80, 0]
    read = anchors.read(rows)
    assert [anchor.class_index for anchor in read] == [3, 0, 2, 0]
    assert (read[1].waveform == read[3].waveform).all()
    known = {
        np.round(anchor.waveform.astype(np.float32) / 32767, 6).tobytes(): anchor.soft
        for anchor in AnchorShards(synthetic_set.anchors).iter_class(2)
    }
    soft = known[np.round(read[2].waveform, 6).tobytes()]
    assert soft is not None
    assert (read[2].soft == soft).all()
    assert read[2].latent is None


def test_a_row_group_is_fetched_once_and_with_one_read(
    synthetic_set: SyntheticSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors = synthetic_set.open()
    assert len(anchors.catalogue) == 160
    anchors.read([0])
    opened = []
    real = Store.read_part
    monkeypatch.setattr(
        Store, "read_part", lambda self, *part: (opened.append(self.name), real(self, *part))[1]
    )
    rows = list(range(40))
    anchors.read(rows)
    anchors.read(rows)
    groups = {(int(anchors.catalogue.shards[row]), int(anchors.catalogue.groups[row])) for row in rows}
    assert len(groups) == 3
    assert len(opened) == 2  # one of them was there


def test_the_cache_is_bounded(synthetic_set: SyntheticSet, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []
    real = PackedAnchors._fetch
    monkeypatch.setattr(PackedAnchors, "_fetch", lambda self, key: (fetched.append(key), real(self, key))[1])
    anchors = PackedAnchors(synthetic_set.pack, cache_bytes=1)
    for _ in range(2):
        for row in range(0, 160, 16):
            anchors.read([row])
    assert len(fetched) > 12
    assert len(anchors._groups) == 1


def test_a_group_is_held_before_it_is_no_longer_fetched(synthetic_set: SyntheticSet) -> None:
    """Or a thread that asks between the two has it fetched again, and the cache thinks that it holds both."""
    anchors = synthetic_set.open()
    fetching = []

    class Groups(OrderedDict):
        def __setitem__(self, key, table):
            fetching.append(key in anchors._fetching)
            super().__setitem__(key, table)

    anchors._groups = Groups()
    anchors.read([0, 80, 159])
    assert fetching == [True] * 3
    assert not anchors._fetching
    assert anchors._held == sum(table.nbytes for table in anchors._groups.values())


def test_footers_of_no_more_row_groups_than_set_are_kept_decoded(
    synthetic_set: SyntheticSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, pack = AnchorShards(synthetic_set.anchors), Store(tmp_path)
    plan = plan_pack(source.row_groups(), seed=0, shard_bytes=60_000)
    assert len(plan) > 3
    for number in range(len(plan)):
        write_packed_shard(source, plan.shard(number), pack=pack)
    finish_pack(pack, shards=len(plan), source=source, seed=0)
    monkeypatch.setattr(packed_reader, "_FOOTER_GROUPS_KEPT", 4)
    anchors = PackedAnchors(pack, cache_bytes=1)
    read = anchors.read(range(0, 160, 16))
    assert [anchor.class_index for anchor in read] == anchors.catalogue.class_indexes[::16].tolist()
    assert 0 < len(anchors._footers) < len(plan)
    assert 0 < anchors._footers.row_groups <= 4
    anchors.close()


def test_a_damaged_shard_is_named(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    copy = tmp_path / "pack"
    shutil.copytree(synthetic_set.pack, copy)
    shard = copy / "shards" / "00000.parquet"
    data = bytearray(shard.read_bytes())
    data[4:2000] = bytes(1996)
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"00000\.parquet"):
        PackedAnchors(copy).read([0])
    shard.write_bytes(data[:100])
    with pytest.raises(DataError, match=r"00000\.parquet"):
        PackedAnchors(copy).read([0])
    shard.unlink()
    with pytest.raises(DataError, match=r"00000\.parquet"):
        PackedAnchors(copy).read([0])


def test_conditions_that_were_not_mined_are_refused(synthetic_set: SyntheticSet) -> None:
    with pytest.raises(DataError, match=r"mined with --conditions latent, found conditions soft"):
        synthetic_set.open().class_means("latent")


def pack_of(root: Path, make_anchor: MakeAnchor, names: list[str]) -> PackedAnchors:
    shard = write_anchor_shard(
        [make_anchor(number, 3, clip_id=name) for number, name in enumerate(names)],
        root / "mined/anchors/a.parquet",
    )
    write_manifest(manifest_of([shard]), root / "mined")
    pack_here(PackRequest(anchors=str(root / "mined"), output=str(root / "pack")))
    return PackedAnchors(root / "pack")


def test_excerpts_of_a_recording_are_found_by_it(make_anchor: MakeAnchor, tmp_path: Path) -> None:
    anchors = pack_of(tmp_path, make_anchor, ["aaa_0.000", "aaa_1230.500", "bbb"])
    catalogue = anchors.catalogue
    assert len(set(catalogue.clips.tolist())) == 3
    first, second, third = catalogue.recordings.tolist()
    assert first == second != third
    assert third == catalogue.clips[2]
    asked = [("aaa", 7.25), ("aaa", None), ("bbb", 0.0), ("aaa_99.000", None), ("ccc", 0.0), ("aa", None)]
    assert anchors.packed_of(asked) == ["aaa", "aaa_99.000", "bbb"]
    anchors.close()


def test_a_pack_without_excerpts_has_the_catalogue_that_it_always_had(
    make_anchor: MakeAnchor, tmp_path: Path
) -> None:
    anchors = pack_of(tmp_path, make_anchor, ["aaa", "bbb"])
    assert pq.read_schema(tmp_path / "pack/catalogue.parquet").names == CATALOGUE_SCHEMA.names
    assert anchors.catalogue.recordings is anchors.catalogue.clips
    assert anchors.manifest.tells_recordings
    anchors.close()


def test_excerpts_in_an_older_pack_are_found_where_they_may_begin(
    make_anchor: MakeAnchor, tmp_path: Path
) -> None:
    pack_of(tmp_path, make_anchor, ["aaa_30.000", "bbb_1230.500", "ccc_1230.500"]).close()
    place = tmp_path / "pack"
    catalogue = pq.read_table(place / "catalogue.parquet")
    pq.write_table(catalogue.select(CATALOGUE_SCHEMA.names), place / "catalogue.parquet")
    facts = json.loads((place / "pack.json").read_text())
    del facts["tells_recordings"]
    (place / "pack.json").write_text(json.dumps(facts))
    anchors = PackedAnchors(place)
    assert anchors.packed_of([("aaa", None), ("bbb", 1230.5), ("ccc", 5.0)]) == ["aaa", "bbb"]
    anchors.close()
