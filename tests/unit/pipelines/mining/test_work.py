from __future__ import annotations

import numpy as np
import pytest

from tests.unit.pipelines.mining.made import CLIPS, anchor, improbable
from uss_ray.anchors.anchor import Reject
from uss_ray.pipelines.mining.clips import NO_ROW
from uss_ray.pipelines.mining.ledger import read_ledger
from uss_ray.pipelines.mining.packets import PacketClip
from uss_ray.pipelines.mining.receipts import read_receipts
from uss_ray.pipelines.mining.work import PacketWork
from uss_ray.pipelines.runtime.retry import STOPPED_REASON

RATE = 1000


class FakeMiner:
    """Finds an anchor in each clip with an even number, and rejects the others."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.seen: list[str] = []

    def mine(self, clips):
        self.seen += [clip.clip_id for clip in clips]
        if self.fault is not None:
            raise self.fault
        numbers = [int(clip.clip_id.removeprefix("clip")) for clip in clips]
        return [anchor(number) if number % 2 == 0 else improbable(number) for number in numbers]


def clip(row: int, status: str = "sound", reason: str | None = None):
    waveform = np.zeros(RATE if status == "sound" else 0, np.float32)
    named = PacketClip(
        row=row, clip_id=f"clip{row}", class_indexes=(row,), status=status, reason=reason, decode_seconds=0.25
    )
    return named, waveform


def container():
    return PacketClip(
        row=NO_ROW, clip_id="", class_indexes=(), status="container", reason="t.tar: cut off"
    ), (np.zeros(0, np.float32))


def test_a_packet_is_mined_and_committed_and_told(output) -> None:
    packet = [
        clip(0),
        clip(1),
        clip(2),
        clip(3, "broken", "no audio"),
        clip(4, "unfinished", "store away"),
        container(),
    ]
    report = PacketWork(FakeMiner(), output=output, sample_rate=RATE)(packet)
    assert (report.mined, report.failed, report.unfinished) == (3, 1, 1)
    assert (report.anchors, report.audio_seconds) == (2, 3.0)
    assert (report.failures, report.reason) == (("no audio",), "store away")
    assert report.containers == ("t.tar: cut off",)
    assert report.decode_seconds == 1.25
    assert report.anchor_bytes > 0
    ledger = read_ledger(output, clips=CLIPS)
    assert np.flatnonzero(ledger.mined).tolist() == [0, 1, 2]
    assert np.flatnonzero(ledger.failed).tolist() == [3]
    assert {receipt.is_failed for receipt in read_receipts(output)} == {True, False}


@pytest.mark.parametrize("is_stopping", [True, False], ids=["stopped", "out of memory"])
def test_clips_that_could_not_be_mined_are_left_to_the_next_run(output, is_stopping: bool) -> None:
    miner = FakeMiner(MemoryError("too much"))
    work = PacketWork(miner, output=output, sample_rate=RATE, is_stopping=lambda: is_stopping)
    report = work([clip(0), clip(1), clip(3, "broken", "no audio")])
    assert (report.mined, report.failed, report.unfinished) == (0, 1, 2)
    assert report.reason == (STOPPED_REASON if is_stopping else "MemoryError: too much")
    assert miner.seen == ([] if is_stopping else ["clip0", "clip1"])
    assert not read_ledger(output, clips=CLIPS).mined.any()


def test_what_cannot_be_written_is_not_done(output, tmp_path) -> None:
    (tmp_path / "out").write_text("in the way")
    report = PacketWork(FakeMiner(), output=output, sample_rate=RATE)(
        [clip(0), clip(3, "broken", "no audio")]
    )
    assert (report.mined, report.failed, report.unfinished, report.anchors) == (0, 0, 2, 0)
    assert report.reason is not None
    assert "out" in report.reason


def test_a_packet_of_broken_containers_alone_mines_nothing(output) -> None:
    miner = FakeMiner()
    report = PacketWork(miner, output=output, sample_rate=RATE)([container()])
    assert (report.mined, report.failed, report.unfinished, miner.seen) == (0, 0, 0, [])
    assert list(read_receipts(output)) == []
    assert isinstance(improbable(1), Reject)
