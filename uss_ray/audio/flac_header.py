"""FLAC whose header states another length than its frames have, and FLAC files joined to one.

libsndfile stops where the header says. The last frame of a file carries its own place and a checksum up to the end of
the file, so a look at the tail tells how long the stream is. No audio is decoded.

Layout: RFC 9639.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from uss_ray.audio.inspection import Inspection, Stream
from uss_ray.audio.splice import SeekableReader, patched

_LEAST_HEADER_BYTES = 6
_TAIL_BYTES = 1 << 16
_MOST_TAIL_BYTES = 1 << 20
_TOTAL_AT = 21  # the four bits of the length that share a byte with the channels and bits
_START = b"fLaC\x00\x00\x00\x22"
_START_LAST = b"fLaC\x80\x00\x00\x22"
_WINDOW = 1 << 20
_ID3V1_BYTES = 128
_MOST_TAG_BYTES = 4096
_BLOCK_SIZES = {1: 192, 2: 576, 3: 1152, 4: 2304, 5: 4608} | {8 + n: 256 << n for n in range(8)}


class _StreamInfo(NamedTuple):
    smallest_block: int
    largest_block: int
    largest_frame_bytes: int
    total: int


def inspect_flac(file: SeekableReader, *, file_bytes: int) -> Inspection:
    """Compare the length in the header with the last frame's place.

    Returns
    -------
    Inspection
        As it is where the tail does not tell: cut off, or with something behind.
    """
    file.seek(0)
    head = file.read(42)
    if len(head) < 42:
        return Inspection()
    info = _stream_info(head)
    if info.total == 0:
        return Inspection()
    end = _last_sample(file, info, file_bytes=file_bytes)
    frames = -(-info.total // max(1, info.largest_block))
    sound_bytes = file_bytes - _metadata_stop(file)
    is_too_long = 0 < info.largest_frame_bytes * frames < sound_bytes - _MOST_TAG_BYTES
    if end == info.total and not is_too_long:
        return Inspection()
    if end is None and not is_too_long:
        return Inspection()
    starts = _starts(file, file_bytes=file_bytes)
    if len(starts) > 1:
        stops = [*starts[1:], file_bytes]
        return Inspection(streams=tuple(Stream((range(*ends),)) for ends in zip(starts, stops, strict=True)))
    if end is None or end == info.total:
        return Inspection()
    # Also of a file that has fewer: it would end in the middle of a frame if something were cut off.
    total = bytes([head[_TOTAL_AT] & 0xF0 | end >> 32]) + (end & 0xFFFFFFFF).to_bytes(4, "big")
    note = f"the header states {info.total} samples, there are {end}: read to the end"
    stop = file_bytes - _tag_bytes(file, file_bytes=file_bytes)
    return Inspection(streams=(Stream(patched({_TOTAL_AT: total}, stop=stop)),), notes=(note,))


def has_another_start(file: SeekableReader, at: int) -> bool:
    """Tell whether a FLAC stream begins somewhere behind an offset."""
    return bool(_starts(file, start=at, file_bytes=file.seek(0, os.SEEK_END)))


def _stream_info(head: bytes) -> _StreamInfo:
    body = head[8:]
    return _StreamInfo(
        int.from_bytes(body[0:2], "big"),
        int.from_bytes(body[2:4], "big"),
        int.from_bytes(body[7:10], "big"),
        int.from_bytes(body[13:18], "big") & (1 << 36) - 1,
    )


def _last_sample(file: SeekableReader, info: _StreamInfo, *, file_bytes: int) -> int | None:
    """Find where the last frame ends, in samples; None where the file does not end with a whole frame."""
    wanted = max(_TAIL_BYTES, min(_MOST_TAIL_BYTES, info.largest_frame_bytes + 64))
    start = max(42, file_bytes - wanted)
    file.seek(start)
    tail = file.read(file_bytes - start)
    tail = tail[: len(tail) - _tag_bytes(file, file_bytes=file_bytes)]
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        is_frame = tail[at + 1 : at + 2] in (b"\xf8", b"\xf9")
        end = frame_end(tail[at : at + 16], smallest_block=info.smallest_block) if is_frame else None
        if end is not None and _crc16(tail[at:]) == 0:
            return end
    return None


def frame_end(head: bytes, *, smallest_block: int) -> int | None:
    """Read from the header of a frame where it ends in the stream.

    Parameters
    ----------
    head : bytes
        The first 16 or more of the frame.
    smallest_block : int
        Samples of a frame, as the first two bytes of the stream's own header (STREAMINFO) say.

    Returns
    -------
    int or None
        In samples; None for what is no such header.
    """
    if len(head) < _LEAST_HEADER_BYTES:  # two bytes of sound that look like the beginning of a frame
        return None
    is_variable = head[1] & 1
    size_code, rate_code = head[2] >> 4, head[2] & 15
    number, at = _coded_number(head, 4)
    if number is None or size_code == 0 or rate_code == 15 or head[3] & 1:
        return None
    if size_code in (6, 7):
        width = size_code - 5
        block = int.from_bytes(head[at : at + width], "big") + 1
        at += width
    else:
        block = _BLOCK_SIZES[size_code]
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    return (number if is_variable else number * smallest_block) + block


def _coded_number(head: bytes, at: int) -> tuple[int | None, int]:
    first = head[at]
    length = 8 - (first ^ 0xFF).bit_length()
    if length == 0:
        return first, at + 1
    if length == 1 or length > 7 or at + length > len(head):
        return None, at
    number = first & (0x7F >> length)
    for byte in head[at + 1 : at + length]:
        if byte & 0xC0 != 0x80:
            return None, at
        number = number << 6 | byte & 0x3F
    return number, at + length


def _metadata_stop(file: SeekableReader) -> int:
    at, is_last = 4, False
    while not is_last:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            break
        is_last = bool(head[0] & 0x80)
        at += 4 + int.from_bytes(head[1:], "big")
    return at


def _tag_bytes(file: SeekableReader, *, file_bytes: int) -> int:
    """Count the bytes of an ID3v1 tag at the end."""
    file.seek(max(0, file_bytes - _ID3V1_BYTES))
    return _ID3V1_BYTES if file.read(3) == b"TAG" else 0


def _starts(file: SeekableReader, *, file_bytes: int, start: int = 0) -> list[int]:
    """Find all places where a FLAC stream begins."""
    found: list[int] = []
    at = start
    while at < file_bytes:
        file.seek(at)
        window = file.read(_WINDOW + len(_START) - 1)
        for marker in (_START, _START_LAST):
            place = window.find(marker)
            while 0 <= place < _WINDOW:
                found.append(at + place)
                place = window.find(marker, place + 1)
        at += _WINDOW
    return sorted(found)


def _table(polynomial: int, *, bits: int) -> list[int]:
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value >> bits - 1 & 1 else 0)) & (1 << bits) - 1
        table.append(value)
    return table


_CRC8 = _table(0x07, bits=8)
_CRC16 = _table(0x8005, bits=16)


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def _crc16(data: bytes) -> int:
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ byte]
    return value
