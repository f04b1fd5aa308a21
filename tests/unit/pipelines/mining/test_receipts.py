from __future__ import annotations

import pytest

from tests.unit.pipelines.mining.made import broken, improbable, mined
from uss_ray.errors import OutputError
from uss_ray.pipelines.mining.receipts import commit_failed, commit_packet, packet_name, read_receipts


def test_receipts_come_back_and_tell_what_failed(output):
    first = mined(output, [0, 2])
    without_anchors = commit_packet([], [improbable(1)], output=output, name=packet_name([1]), rows={1: 0})
    failed = commit_failed([broken(3)], output=output, name=packet_name([3]), rows={3: 0})
    assert {receipt.name: receipt for receipt in read_receipts(output)} == {
        receipt.name: receipt for receipt in (first, without_anchors, failed)
    }
    assert [receipt.is_failed for receipt in (first, without_anchors, failed)] == [False, False, True]
    assert (first.rows, first.rejects, first.shard.rows) == ((0, 2), {"improbable": 2}, 2)
    assert without_anchors.shard is None


def test_nothing_there_are_no_receipts(output):
    assert list(read_receipts(output)) == []


def test_a_packet_that_is_repeated_replaces_itself(output, tmp_path):
    mined(output, [0, 1])
    mined(output, [1, 0])
    assert len(list((tmp_path / "out" / "anchors").iterdir())) == 1
    assert packet_name([0, 1]) != packet_name([0, 2])


def test_rejects_without_a_receipt_are_named(output, tmp_path):
    mined(output, [4, 5])
    (tmp_path / "out" / "rejects" / "odd.parquet").write_bytes(b"PAR1")
    with pytest.raises(OutputError, match=r"odd\.parquet: expected rejects with a receipt"):
        list(read_receipts(output))
