"""What an audio file's container says about its own completeness, where libsndfile repairs or ignores it.

libsndfile plays a cut WAV, W64, AIFF, AU or CAF file to wherever it ends and an OGG file to its last whole page,
and reports that as the length; FFmpeg does so with MP4. This module compares the declared size with the bytes there
are; it decodes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from uss_ray.audio.mp3_header import endless_header
from uss_ray.audio.mp4_header import boxes, is_mp4
from uss_ray.audio.splice import SeekableReader, Splice

# Encoders that write to a pipe cannot go back to fill in the size: ffmpeg leaves all ones, sox and others 2 GiB or so.
_OPEN_ENDED_FROM = 0x7FFFF000
_SIZE_UNKNOWN = 0xFFFFFFFF
# No honest file comes near it; it bounds the walk through a damaged one.
_MOST_CHUNKS = 4096
_OGG_MAX_PAGE_BYTES = 65307
_OGG_HEADER_BYTES = 27
_OGG_END_OF_STREAM = 4
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"


@dataclass(frozen=True)
class Completeness:
    """How a container's statement of its size compares with the file.

    Attributes
    ----------
    expected, found : str or None
        Wording of a contradiction, None for both when the file is complete as far as can be told.
    splice : Splice or None
        What to show the decoder instead of a header whose length is missing or was never filled in.
    """

    expected: str | None = None
    found: str | None = None
    splice: Splice | None = None


@dataclass(frozen=True)
class _Chunk:
    chunk_id: bytes
    size_offset: int
    body_offset: int
    body_bytes: int


def inspect_container(file: SeekableReader) -> Completeness:
    """Compare the size a container declares with the bytes there are.

    Parameters
    ----------
    file : binary file
        Seekable; its position afterwards is undefined.

    Returns
    -------
    Completeness
        Without contradiction for FLAC and MP3, whose decoders notice the end themselves, and for unknown formats.
    """
    file_bytes = file.seek(0, os.SEEK_END)
    head = _read_at(file, 0, 28)
    magic = head[:4]
    if magic in (b"RIFF", b"RF64", b"RIFX"):
        return _inspect_riff(file, file_bytes=file_bytes, magic=magic)
    if magic == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        chunks = _chunks(file, start=12, file_bytes=file_bytes, byteorder="big")
        return _compare(_find(chunks, b"SSND"), file_bytes=file_bytes)
    if head[:16] == _W64_RIFF:
        return _compare(_find(_w64_chunks(file, file_bytes=file_bytes), b"data"), file_bytes=file_bytes)
    if magic == b"caff":
        return _compare(_find(_caf_chunks(file, file_bytes=file_bytes), b"data"), file_bytes=file_bytes)
    if magic in (b".snd", b"dns."):
        byteorder: Literal["big", "little"] = "big" if magic == b".snd" else "little"
        start, size = (int.from_bytes(head[at : at + 4], byteorder) for at in (4, 8))
        return _compare(_Chunk(b"data", 8, start, size), file_bytes=file_bytes)
    if magic == b"OggS":
        return _inspect_ogg(file, file_bytes=file_bytes)
    if is_mp4(file):
        return _inspect_mp4(file, file_bytes=file_bytes)
    return Completeness(splice=endless_header(file))


def _inspect_riff(file: SeekableReader, *, file_bytes: int, magic: bytes) -> Completeness:
    byteorder: Literal["big", "little"] = "big" if magic == b"RIFX" else "little"
    riff_bytes = int.from_bytes(_read_at(file, 4, 4), byteorder)
    long_data_bytes = None
    for chunk in _chunks(file, start=12, file_bytes=file_bytes, byteorder=byteorder):
        if chunk.chunk_id == b"ds64":
            long_data_bytes = int.from_bytes(_read_at(file, chunk.body_offset + 8, 8), byteorder)
        if chunk.chunk_id != b"data":
            continue
        if chunk.body_bytes == _SIZE_UNKNOWN and long_data_bytes is not None:
            chunk = _Chunk(chunk.chunk_id, chunk.size_offset, chunk.body_offset, long_data_bytes)
            return _compare(chunk, file_bytes=file_bytes, open_ended_from=None)
        never_filled_in = riff_bytes == _SIZE_UNKNOWN or riff_bytes <= chunk.body_offset - 8
        if chunk.body_bytes == 0 and never_filled_in and chunk.body_offset < file_bytes:
            open_ended = _SIZE_UNKNOWN.to_bytes(4, byteorder)
            return Completeness(splice=Splice(chunk.size_offset, 4, open_ended))
        return _compare(chunk, file_bytes=file_bytes)
    return Completeness()


def _inspect_ogg(file: SeekableReader, *, file_bytes: int) -> Completeness:
    tail_offset = max(0, file_bytes - 2 * _OGG_MAX_PAGE_BYTES)
    tail = _read_at(file, tail_offset, file_bytes - tail_offset)
    at = tail.rfind(b"OggS")
    # Coded audio may hold these four bytes by chance, but hardly the version and flags of a page behind them.
    while at >= 0 and (tail[at + 4 : at + 5] != b"\0" or tail[at + 5 : at + 6] > b"\7"):
        at = tail.rfind(b"OggS", 0, at)
    header = tail[at : at + _OGG_HEADER_BYTES]
    if at >= 0 and len(header) == _OGG_HEADER_BYTES:
        lacing = tail[at + _OGG_HEADER_BYTES : at + _OGG_HEADER_BYTES + header[26]]
        page_bytes = _OGG_HEADER_BYTES + header[26] + sum(lacing)
        whole = len(lacing) == header[26] and at + page_bytes <= len(tail)
        if whole and header[5] & _OGG_END_OF_STREAM:
            return Completeness()
    return Completeness(expected="an end-of-stream page", found=f"a stream cut off after {file_bytes} bytes")


def _inspect_mp4(file: SeekableReader, *, file_bytes: int) -> Completeness:
    missing = {b"moov": "a table of its sound (moov)", b"mdat": "the sound itself (mdat)"}
    for box in boxes(file):
        if box.stop > file_bytes:
            return Completeness(expected=f"{box.stop} bytes", found=f"{file_bytes}, the rest is cut off")
        missing.pop(box.kind, None)
        if not missing:
            return Completeness()
    return Completeness(expected=" and ".join(missing.values()), found="none")


def _compare(
    chunk: _Chunk | None, *, file_bytes: int, open_ended_from: int | None = _OPEN_ENDED_FROM
) -> Completeness:
    if chunk is None:
        return Completeness()
    there_bytes = max(0, file_bytes - chunk.body_offset)
    open_ended = open_ended_from is not None and chunk.body_bytes >= open_ended_from
    if chunk.body_bytes <= there_bytes or open_ended:
        return Completeness()
    return Completeness(
        expected=f"{chunk.body_bytes} bytes of audio", found=f"{there_bytes} bytes, the rest is cut off"
    )


def _chunks(
    file: SeekableReader, *, start: int, file_bytes: int, byteorder: Literal["big", "little"]
) -> Iterator[_Chunk]:
    at = start
    for _ in range(_MOST_CHUNKS):
        if at + 8 > file_bytes:
            return
        head = _read_at(file, at, 8)
        size = int.from_bytes(head[4:], byteorder)
        yield _Chunk(head[:4], at + 4, at + 8, size)
        at += 8 + size + size % 2


def _w64_chunks(file: SeekableReader, *, file_bytes: int) -> Iterator[_Chunk]:
    at = 40
    for _ in range(_MOST_CHUNKS):
        if at + 24 > file_bytes:
            return
        head = _read_at(file, at, 24)
        size = int.from_bytes(head[16:], "little")
        yield _Chunk(head[:4], at + 16, at + 24, size - 24)
        at += max(24, -(-size // 8) * 8)


def _caf_chunks(file: SeekableReader, *, file_bytes: int) -> Iterator[_Chunk]:
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 12 > file_bytes:
            return
        head = _read_at(file, at, 12)
        size = int.from_bytes(head[4:], "big")
        yield _Chunk(head[:4], at + 4, at + 12, size)
        at += 12 + size


def _find(chunks: Iterator[_Chunk], chunk_id: bytes) -> _Chunk | None:
    return next((chunk for chunk in chunks if chunk.chunk_id == chunk_id), None)


def _read_at(file: SeekableReader, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)
