"""Which of the packets' sound in a Core Audio file is the recording; no audio is decoded.

Apple Core Audio Format Specification, the packet table: valid frames, priming frames before and remainder behind them.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from uss_ray.audio.splice import SeekableReader

_MOST_CHUNKS = 4096


class PacketTable(NamedTuple):
    """How many samples of each channel are the recording, and how many come before it."""

    valid_frames: int
    priming_frames: int


def packet_table(file: SeekableReader) -> PacketTable | None:
    """Read the table's head; None for a file without one, or whose table states nothing."""
    stop = file.seek(0, os.SEEK_END)
    at = 8
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(12 + 24)
        if len(head) < 12 or at > stop:
            return None
        if head[:4] == b"pakt" and len(head) == 36:
            valid = int.from_bytes(head[20:28], "big", signed=True)
            priming = int.from_bytes(head[28:32], "big", signed=True)
            return PacketTable(valid, priming) if valid > 0 and priming >= 0 else None
        at += 12 + int.from_bytes(head[4:12], "big")
    return None
