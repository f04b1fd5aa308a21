from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.anchors.manifest import MiningManifest, read_manifest
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import OutputError
from uss_ray.pipelines.mining.ledger import read_ledger
from uss_ray.pipelines.mining.receipts import commit_failed, commit_packet, packet_name, read_receipts
from uss_ray.pipelines.mining.settle import note_missing, settle, start_over
from uss_ray.store.store import Store

CLIPS = 6


@pytest.fixture
def table():
    return SegmentTable.from_records(
        [ClipRecord(f"clip{row}", 0.0, 10.0, (row, 100)) for row in range(CLIPS)]
    )


@pytest.fixture
def output(tmp_path):
    return Store(tmp_path / "out", None, OutputError)


def anchor(row):
    return Anchor(
        clip_id=f"clip{row}",
        class_index=row,
        start_sample=0,
        sample_rate=32_000,
        score=0.5,
        purity=1.0,
        intruder_index=None,
        level_db=-20.0,
        label_indexes=(row, 100),
        prob_indexes=(row,),
        probs=np.array([0.5], np.float32),
        waveform=np.full(100, row, np.int16),
    )


def improbable(row):
    return Reject(clip_id=f"clip{row}", reason="improbable", class_index=100, start_sample=0, found="0.01")


def broken(row):
    return Reject(clip_id=f"clip{row}", reason="broken", found="no audio")


def mined(output, rows, *, name=None):
    return commit_packet(
        [anchor(row) for row in rows],
        [improbable(row) for row in rows],
        output=output,
        name=name or packet_name(rows),
        rows=rows,
    )


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


def test_receipts_tell_what_is_done(output):
    first = mined(output, [0, 2])
    without_anchors = commit_packet([], [improbable(1)], output=output, name=packet_name([1]), rows=[1])
    failed = commit_failed([broken(3)], output=output, name=packet_name([3]), rows=[3])
    assert {receipt.name: receipt for receipt in read_receipts(output)} == {
        receipt.name: receipt for receipt in (first, without_anchors, failed)
    }
    ledger = read_ledger(output, clips=CLIPS)
    assert np.flatnonzero(ledger.mined).tolist() == [0, 1, 2]
    assert np.flatnonzero(ledger.wanted(retry_failed=False)).tolist() == [4, 5]
    assert np.flatnonzero(ledger.wanted(retry_failed=True)).tolist() == [3]
    assert ledger.known == 4


def test_a_packet_that_is_repeated_replaces_itself(output, tmp_path):
    mined(output, [0, 1])
    mined(output, [1, 0])
    assert len(list((tmp_path / "out" / "anchors").iterdir())) == 1
    assert packet_name([0, 1]) != packet_name([0, 2])


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
    commit_failed([broken(0), broken(5)], output=output, name=packet_name([0, 5]), rows=[0, 5])
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
    start_over(output)
    assert read_ledger(output, clips=CLIPS).known == 0


def test_rejects_without_a_receipt_and_receipts_of_other_clips_are_named(output, tmp_path):
    mined(output, [4, 5])
    with pytest.raises(OutputError, match="table of 3"):
        read_ledger(output, clips=3)
    (tmp_path / "out" / "rejects" / "odd.parquet").write_bytes(b"PAR1")
    with pytest.raises(OutputError, match=r"odd\.parquet"):
        read_ledger(output, clips=CLIPS)
