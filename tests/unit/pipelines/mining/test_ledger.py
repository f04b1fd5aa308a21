from __future__ import annotations

import numpy as np
import pytest

from tests.unit.pipelines.mining.made import CLIPS, broken, improbable, mined
from uss_ray.errors import OutputError
from uss_ray.pipelines.mining.ledger import ledger_of, read_ledger
from uss_ray.pipelines.mining.receipts import Receipt, commit_failed, commit_packet, packet_name


def test_receipts_tell_what_is_done(output):
    mined(output, [0, 2])
    commit_packet([], [improbable(1)], output=output, name=packet_name([1]), rows=dict.fromkeys([1], 0))
    commit_failed([broken(3)], output=output, name=packet_name([3]), rows=dict.fromkeys([3], 0))
    ledger = read_ledger(output, clips=CLIPS)
    assert np.flatnonzero(ledger.mined).tolist() == [0, 1, 2]
    assert np.flatnonzero(ledger.wanted(retry_failed=False)).tolist() == [4, 5]
    assert np.flatnonzero(ledger.wanted(retry_failed=True)).tolist() == [3]
    assert ledger.known == 4


def test_a_clip_that_failed_and_was_mined_is_mined(output):
    receipts = [
        Receipt(name="failed-a", rows=(0, 1), rejects={"broken": 2}),
        Receipt(name="b", rows=(1,), rejects={}),
    ]
    ledger = ledger_of(receipts, output=output, clips=3)
    assert ledger.mined.tolist() == [False, True, False]
    assert ledger.failed.tolist() == [True, False, False]


def test_receipts_of_other_clips_are_named(output):
    mined(output, [4, 5])
    with pytest.raises(OutputError, match="expected clips of a table of 3, found clip 5"):
        read_ledger(output, clips=3)


def test_what_was_told_of_a_clip_last_counts_and_says_what_it_held(output):
    receipts = [
        Receipt(name="b", rows=(0, 1), rejects={}, contents=(20, 21), made_at=2.0),
        Receipt(name="failed-c", rows=(1,), rejects={"broken": 1}, contents=(31,), made_at=3.0),
        Receipt(name="a", rows=(0, 1, 2), rejects={}, contents=(10, 11, 12), made_at=1.0),
        Receipt(name="before", rows=(3,), rejects={}),
    ]
    ledger = ledger_of(receipts, output=output, clips=4)
    assert ledger.mined.tolist() == [True, False, True, True]
    assert ledger.failed.tolist() == [False, True, False, False]
    assert ledger.contents.tolist() == [20, 31, 12, 0]
