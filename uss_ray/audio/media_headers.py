"""Files that FFmpeg decodes, by their first bytes: what they are called, and whether all of them is there.

No audio is decoded.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import NamedTuple

from uss_ray.audio.inspection import Inspection
from uss_ray.audio.splice import SeekableReader

_EBML = b"\x1aE\xdf\xa3"
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
_ASF_FILE_PROPERTIES = b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65"
_ASF_BROADCAST = 1
_SEGMENT = 0x18538067
_INFO = 0x1549A966
_TIMESTAMP_SCALE = 0x2AD7B1
_DURATION = 0x4489
_MOST_ELEMENTS = 32
_WAVPACK_HEADER_BYTES = 8

_MAGICS = (
    (_EBML, "Matroska or WebM"),
    (_ASF, "WMA"),
    (b"#!AMR", "AMR"),
    (b"wvpk", "WavPack"),
    (b"TTA1", "TTA"),
    (b"MAC ", "Monkey's Audio"),
    (b"tBaK", "TAK"),
    (b"MPCK", "Musepack"),
    (b"MP+", "Musepack"),
    (b"\x7f\xfe\x80\x01", "DTS"),
    (b"\xfe\x7f\x01\x80", "DTS"),
    (b"FLV\x01", "FLV"),
    (b"DSD ", "DSF"),
    (b"FRM8", "DSDIFF"),
    (b"\x00\x00\x01\xba", "MPEG"),
    (b".RMF", "RealMedia"),
    (b"ADIF", "AAC"),
    (b"ajkg", "Shorten"),
    (b"qoaf", "QOA"),
    (b"#!SILK_V3", "SILK"),
)


def media_name(head: bytes) -> str | None:
    """Name what FFmpeg decodes and libsndfile does not, by its first bytes (16 or more); None for anything else."""
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    if head[:2] in (b"\x0bw", b"w\x0b"):
        return "AC-3"
    # ADTS looks like MPEG audio of layer 0, of which there is none.
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13:
        return "AAC"
    return None


def inspect_media(file: SeekableReader, *, head: bytes, file_bytes: int) -> Inspection:
    """Compare the size that a container states with the bytes there are, where it states one."""
    stop: int | None = None
    if head.startswith(_EBML):
        stop = _matroska_stop(file)
    elif head.startswith(_ASF):
        stop = _asf_stop(file)
    elif head[8:12] == b"AVI ":
        stop = int.from_bytes(head[4:8], "little") + 8
        stop = None if stop == 8 or stop > 0x7FFFF000 else stop
    elif head.startswith(b"wvpk"):
        return _inspect_wavpack(file, file_bytes=file_bytes)
    if stop is not None and stop > file_bytes:
        return Inspection(is_for_ffmpeg=True, fault=(f"{stop} bytes", f"{file_bytes}, the rest is cut off"))
    return Inspection(is_for_ffmpeg=True)


def matroska_seconds(file: SeekableReader) -> float | None:
    """Read the length that a Matroska file states; None where it states none, as one does that is recorded live."""
    segment = next((one for one in _elements(file, 0) if one.number == _SEGMENT), None)
    children = () if segment is None else _elements(file, segment.start)
    info = next((one for one in children if one.number == _INFO), None)
    if info is None or info.size is None:
        return None
    nanoseconds, ticks = 1_000_000, None
    for one in _elements(file, info.start, stop=info.start + info.size):
        file.seek(one.start)
        body = file.read(one.size if one.size in (1, 2, 3, 4, 8) else 0)
        if one.number == _TIMESTAMP_SCALE and body:
            nanoseconds = int.from_bytes(body, "big")
        elif one.number == _DURATION and len(body) in (4, 8):
            ticks = struct.unpack(">f" if len(body) == 4 else ">d", body)[0]
    seconds = 0.0 if ticks is None else ticks * nanoseconds / 1e9
    return seconds if 0 < seconds < math.inf else None


def _matroska_stop(file: SeekableReader) -> int | None:
    for one in _elements(file, 0):
        if one.number == _SEGMENT:
            return None if one.size is None else one.start + one.size
    return None


class _Element(NamedTuple):
    """An element of EBML: its number, and where its content starts; `size` is None where it is left open."""

    number: int
    start: int
    size: int | None


def _elements(file: SeekableReader, at: int, *, stop: int | None = None) -> Iterator[_Element]:
    """Walk the first elements that lie beside one another."""
    for _ in range(_MOST_ELEMENTS):
        if stop is not None and at >= stop:
            return
        file.seek(at)
        head = file.read(12)
        if not head or not head[0]:
            return
        id_bytes = 9 - head[0].bit_length()
        size_bytes = 9 - head[id_bytes].bit_length() if len(head) > id_bytes and head[id_bytes] else 0
        if size_bytes == 0 or id_bytes + size_bytes > len(head):
            return
        size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & (1 << 7 * size_bytes) - 1
        is_open = size == (1 << 7 * size_bytes) - 1
        start = at + id_bytes + size_bytes
        yield _Element(int.from_bytes(head[:id_bytes], "big"), start, None if is_open else size)
        if is_open:
            return
        at = start + size


def _asf_stop(file: SeekableReader) -> int | None:
    file.seek(0)
    header = file.read(8192)
    at = header.find(_ASF_FILE_PROPERTIES)
    if at < 0 or at + 92 > len(header) or header[at + 88] & _ASF_BROADCAST:
        return None
    return int.from_bytes(header[at + 40 : at + 48], "little") or None


def _inspect_wavpack(file: SeekableReader, *, file_bytes: int) -> Inspection:
    """Walk the blocks: each states its size, and the first one how many samples there are."""
    at, seen, total = 0, 0, None
    while at + 32 <= file_bytes:
        file.seek(at)
        head = file.read(32)
        if head[:4] != b"wvpk":
            break
        size = int.from_bytes(head[4:8], "little") + _WAVPACK_HEADER_BYTES
        if total is None:
            total = int.from_bytes(head[12:16], "little")
        samples, flags = int.from_bytes(head[20:24], "little"), int.from_bytes(head[24:28], "little")
        if at + size > file_bytes:
            break
        is_first_of_its_channels = bool(flags & 0x800)
        seen += samples if is_first_of_its_channels else 0
        at += size
    if total is not None and total != 0xFFFFFFFF and seen < total:
        return Inspection(is_for_ffmpeg=True, fault=(f"{total} samples", f"{seen}, the rest is cut off"))
    return Inspection(is_for_ffmpeg=True)
