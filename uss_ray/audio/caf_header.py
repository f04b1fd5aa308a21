"""Which of the packets' sound in a Core Audio file is the recording; no audio is decoded.

Apple Core Audio Format Specification, the packet table: valid frames, priming frames before and remainder behind them.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from uss_ray.audio.splice import SeekableReader

_MOST_CHUNKS = 4096


class PacketTable(NamedTuple):
    """What of the decoded sound is the recording.

    Attributes
    ----------
    valid_frames, priming_frames : int
        Samples of each channel that are the recording, and that come before it.
    is_rounded : bool
        Whether the end may be less: Apple Lossless packets tell their own length, and FFmpeg before 8.1 counts the last
        one as a full one.
    """

    valid_frames: int
    priming_frames: int
    is_rounded: bool = False


def packet_table(file: SeekableReader) -> PacketTable | None:
    """Read the table's head; None for a file without one, or whose table states nothing."""
    stop = file.seek(0, os.SEEK_END)
    at, coding, packet_frames = 8, b"", 0
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(12 + 24)
        if len(head) < 12 or at > stop:
            return None
        if head[:4] == b"desc" and len(head) == 36:
            coding, packet_frames = head[20:24], int.from_bytes(head[32:36], "big")
        if head[:4] == b"pakt" and len(head) == 36:
            valid = int.from_bytes(head[20:28], "big", signed=True)
            priming = int.from_bytes(head[28:32], "big", signed=True)
            is_rounded = coding == b"alac" and packet_frames > 0 and valid % packet_frames == 0
            return PacketTable(valid, priming, is_rounded) if valid > 0 and priming >= 0 else None
        at += 12 + int.from_bytes(head[4:12], "big")
    return None
