from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.unit.pipelines.mining.made import CLIPS, broken, mined
from uss_ray.anchors.manifest import MiningManifest, read_manifest
from uss_ray.errors import OutputError
from uss_ray.pipelines.mining.ledger import read_ledger
from uss_ray.pipelines.mining.receipts import OWNED, commit_failed, packet_name
from uss_ray.pipelines.mining.settle import note_missing, settle


def settled(output, table, *, is_alone=True):
    manifest_of = partial(
        MiningManifest.of,
        weights_name="w",
        weights_sha256="0",
        class_list_sha256="1",
        settings={},
        sample_rate=32_000,
    )
    return settle(output, table=table, manifest_of=manifest_of, is_alone=is_alone)


def test_a_shard_without_a_receipt_does_not_count_and_goes(output, table, tmp_path):
    mined(output, [0, 1])
    orphan = mined(output, [2, 3])
    (tmp_path / "out" / "rejects" / f"{orphan.name}.parquet").unlink()
    assert not read_ledger(output, clips=CLIPS).mined[2]
    assert settled(output, table, is_alone=False).anchors == 2
    shard = tmp_path / "out" / "anchors" / f"{orphan.name}.parquet"
    assert shard.exists()  # another job's, perhaps
    settled(output, table)
    assert not shard.exists()


def test_a_clip_in_two_packets_counts_once(output, table, tmp_path):
    mined(output, [0, 1, 2])
    mined(output, [2, 3])
    totals = settled(output, table)
    assert (totals.clips, totals.anchors, totals.rejects) == (4, 4, {"improbable": 4})
    shards = (tmp_path / "out" / "anchors").glob("*.parquet")
    ids = [name for shard in shards for name in pq.read_table(shard)["clip_id"].to_pylist()]
    assert sorted(ids) == ["clip0", "clip1", "clip2", "clip3"]
    assert sum(shard.rows for shard in read_manifest(output).shards) == 4


def test_a_failed_clip_that_is_mined_later_is_no_reject_any_more(output, table):
    commit_failed(
        [broken(0), broken(5)], output=output, name=packet_name([0, 5]), rows=dict.fromkeys([0, 5], 0)
    )
    mined(output, [0, 1])
    totals = settled(output, table)
    assert (totals.clips, totals.failed) == (3, 1)
    assert totals.rejects == {"broken": 1, "improbable": 2}


def test_clips_without_audio_become_rejects(output, table):
    mined(output, [0, 1])
    chosen = np.arange(CLIPS) < 4
    assert note_missing(output, table=table, chosen=chosen) == 2
    assert settled(output, table).rejects == {"improbable": 2, "missing": 2}
    assert note_missing(output, table=table, chosen=chosen) == 0


def test_after_starting_over_nothing_counts(output, table):
    mined(output, [0, 1])
    settled(output, table)
    for name in ("anchors/mine.parquet", "rejects/notes.txt"):
        (output / name).put(b"mine")
    settled(output, table)
    OWNED.remove(output)
    assert [file.relative_to(output) for file in output.list()] == [
        "anchors/mine.parquet",
        "rejects/notes.txt",
    ]


def test_of_a_clip_that_was_mined_again_the_later_anchors_stay(output, table):
    mined(output, [0, 1, 2], content=7, made_at=1.0)
    mined(output, [1], content=8, made_at=2.0)
    commit_failed([broken(2)], output=output, name=packet_name([2]), rows={2: 9}, made_at=3.0)
    totals = settled(output, table)
    assert (totals.clips, totals.failed, totals.anchors) == (3, 1, 2)
    ledger = read_ledger(output, clips=len(table))
    assert ledger.contents[:3].tolist() == [7, 8, 9]
    assert ledger.failed.tolist()[:3] == [False, False, True]


def test_what_a_packet_is_reduced_to_may_have_the_name_of_an_older_one(output, table, tmp_path):
    mined(output, [0, 1], content=7, made_at=1.0)
    mined(output, [0, 1, 2], content=8, made_at=2.0)
    mined(output, [2], content=9, made_at=3.0)
    totals = settled(output, table)
    assert (totals.clips, totals.anchors, totals.shards) == (3, 3, 2)
    shards = (tmp_path / "out" / "anchors").glob("*.parquet")
    assert sorted(name for shard in shards for name in pq.read_table(shard)["clip_id"].to_pylist()) == [
        "clip0",
        "clip1",
        "clip2",
    ]
    assert read_ledger(output, clips=len(table)).contents[:3].tolist() == [8, 8, 9]


@pytest.mark.parametrize("folder", ["anchors", "rejects"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_damaged_file_of_a_packet_that_is_reduced_is_named(output, table, tmp_path, folder, share):
    mined(output, [0, 1], content=7, made_at=1.0)
    (damaged,) = (tmp_path / "out" / folder).glob("*.parquet")
    mined(output, [1], content=8, made_at=2.0)
    content = bytearray(damaged.read_bytes())
    content[4 : int(len(content) * share)] = bytes(int(len(content) * share) - 4)
    damaged.write_bytes(content)
    with pytest.raises(OutputError, match=damaged.name) as caught:
        settled(output, table)
    assert f"{folder}/" in str(caught.value)
