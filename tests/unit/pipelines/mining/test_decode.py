from __future__ import annotations

import numpy as np
import pytest

from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio
from uss_ray.datasets.labelled_clips import LabelledClip
from uss_ray.datasets.segments import ClipRecord
from uss_ray.pipelines.mining import decode
from uss_ray.pipelines.mining.decode import decode_packets
from uss_ray.pipelines.mining.packets import packets_of
from uss_ray.store.options import StoreOptions

RATE = 8000


def clip(number: int, seconds: float = 1.0) -> LabelledClip:
    samples = np.full(round(RATE * seconds), 1000 + number, np.int16)
    record = ClipRecord(f"c{number}", 0.0, seconds, (number,))
    return LabelledClip(
        record, ClipAudio(f"c{number}", "pack.h5", samples=samples, sample_rate=RATE), "excerpt", number
    )


@pytest.fixture
def packets(monkeypatch: pytest.MonkeyPatch):
    """Decode clips that come as they are, with a state that stops at a look."""

    def make(clips, *, packet_clips=4, stops_at_look=None):
        looks = iter(range(1000))
        monkeypatch.setattr(decode, "clips_of", lambda table: table)
        monkeypatch.setattr(
            decode, "is_stopping", lambda state: stops_at_look is not None and next(looks) >= stops_at_look
        )
        tables = decode_packets(
            clips, sample_rate=RATE, packet_clips=packet_clips, storage=StoreOptions(), state=None
        )
        return [[named.clip_id for named, _ in packet] for table in tables for packet in packets_of(table)]

    return make


def test_packets_are_full_but_the_last(packets) -> None:
    assert packets([clip(number) for number in range(10)]) == [
        ["c0", "c1", "c2", "c3"],
        ["c4", "c5", "c6", "c7"],
        ["c8", "c9"],
    ]
    assert packets([]) == []


def test_a_packet_ends_where_it_holds_enough_sound(packets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "PACKET_SAMPLES", 2 * RATE)
    assert packets([clip(number, 1.0) for number in range(5)]) == [["c0", "c1"], ["c2", "c3"], ["c4"]]


def test_a_broken_container_travels_along(packets) -> None:
    assert packets([clip(0), BrokenContainer("t.tar", "cut off"), clip(1)]) == [["c0", "", "c1"]]


def test_what_is_begun_when_the_run_stops_is_still_given(packets) -> None:
    decoded = packets([clip(number) for number in range(40)], packet_clips=100, stops_at_look=1)
    assert decoded == [[f"c{number}" for number in range(16)]]
