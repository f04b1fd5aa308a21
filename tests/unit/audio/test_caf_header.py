from __future__ import annotations

import io
import struct

import pytest

from uss_ray.audio.caf_header import PacketTable, packet_table


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">4sq", kind, len(body)) + body


def caf(*chunks: bytes) -> io.BytesIO:
    return io.BytesIO(b"caff" + struct.pack(">HH", 1, 0) + b"".join(chunks))


def table(*, packets: int = 5, valid: int, priming: int, remainder: int = 0) -> bytes:
    return chunk(b"pakt", struct.pack(">qqii", packets, valid, priming, remainder))


def test_the_table_is_found_behind_other_chunks() -> None:
    file = caf(chunk(b"desc", bytes(32)), chunk(b"data", bytes(777)), table(valid=40_000, priming=2112))
    assert packet_table(file) == PacketTable(valid_frames=40_000, priming_frames=2112)


@pytest.mark.parametrize(
    "file",
    [
        caf(chunk(b"desc", bytes(32)), chunk(b"data", bytes(8))),
        caf(table(valid=0, priming=0)),
        caf(table(valid=10, priming=-1)),
        caf(chunk(b"pakt", bytes(8))),
        io.BytesIO(b"caff"),
    ],
    ids=["none", "states nothing", "before the start", "cut off", "no chunk"],
)
def test_a_table_that_states_nothing_is_none(file: io.BytesIO) -> None:
    assert packet_table(file) is None


@pytest.mark.parametrize(
    ("coding", "valid", "is_rounded"),
    [(b"alac", 40_960, True), (b"alac", 40_000, False), (b"aac ", 40_960, False)],
)
def test_whole_packets_of_lossless_sound_may_end_earlier(coding: bytes, valid: int, is_rounded: bool) -> None:
    described = struct.pack(">d4sIIIII", 44100, coding, 0, 0, 4096, 1, 16)
    assert packet_table(caf(chunk(b"desc", described), table(valid=valid, priming=0))) == PacketTable(
        valid, 0, is_rounded
    )
