"""The chunks of a WAV file: the time stamp that libsndfile leaves beside the peaks of float samples is taken out.

With it the same samples would give other bytes a second later. Nothing is decoded here.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_RIFF_HEADER_BYTES = 12
_CHUNK_HEADER_BYTES = 8
_STAMP_OFFSET = 4  # in the chunk: after its version
_STAMP_BYTES = 4


def settle_peak_time(path: Path) -> bool:
    """Set the time stamp of a WAV file's PEAK chunk to zero.

    Parameters
    ----------
    path : Path
        A finished WAV file; changed in place, its length stays.

    Returns
    -------
    bool
        Whether there is such a chunk; only float samples have one.
    """
    with open(path, "r+b") as file:
        offset = _find_chunk(file, b"PEAK")
        if offset is None:
            return False
        file.seek(offset + _CHUNK_HEADER_BYTES + _STAMP_OFFSET)
        file.write(bytes(_STAMP_BYTES))
        return True


def _find_chunk(file: BinaryIO, name: bytes) -> int | None:
    offset = _RIFF_HEADER_BYTES
    while True:
        file.seek(offset)
        header = file.read(_CHUNK_HEADER_BYTES)
        if len(header) < _CHUNK_HEADER_BYTES or header[:4] == b"data":
            return None
        if header[:4] == name:
            return offset
        size = int.from_bytes(header[4:], "little")
        offset += _CHUNK_HEADER_BYTES + size + size % 2
