"""What a file is, by its content, and how it is to be read: by which decoder, from where to where, with which header.

libsndfile plays a cut WAV, W64, AIFF, AU or CAF file to wherever it ends and an OGG file to its last whole page, and
reports that as the length; FFmpeg does so with its formats. And it believes headers that were never filled in, or state
less than there is. This module compares what a container declares with the bytes there are. It decodes nothing; the
formats are looked into by `chunked`, `stated_length`, `ogg_streams`, `flac_header`, `mpeg_audio` and `media_headers`.
"""

from __future__ import annotations

import os

from uss_ray.audio.chunked import (
    inspect_aiff,
    inspect_au,
    inspect_caf,
    inspect_nist,
    inspect_riff,
    inspect_svx,
    inspect_voc,
    inspect_w64,
)
from uss_ray.audio.flac_header import inspect_flac
from uss_ray.audio.inspection import Inspection, Stream
from uss_ray.audio.media_headers import inspect_media, media_name
from uss_ray.audio.mp4_header import boxes, is_mp4, length_note
from uss_ray.audio.mpeg_audio import after_id3, inspect_mpeg
from uss_ray.audio.ogg_streams import inspect_ogg
from uss_ray.audio.splice import SeekableReader, SplicedFile
from uss_ray.audio.stated_length import inspect_stated

_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"


def inspect_container(file: SeekableReader) -> Inspection:
    """Find out how a file is to be read.

    Parameters
    ----------
    file : binary file
        Seekable; its position afterwards is undefined.

    Returns
    -------
    Inspection
        Without a fault where the container cannot tell: what is cut off then shows as it is decoded.
    """
    file_bytes = file.seek(0, os.SEEK_END)
    start = after_id3(file)
    if 0 < start < file_bytes:
        behind = SplicedFile(file, [range(start, file_bytes)])
        found = _inspect_known(behind, file_bytes=file_bytes - start)
        if found is not None:
            return found.moved(start, file_bytes=file_bytes)
    found = _inspect_known(file, file_bytes=file_bytes)
    if found is not None:
        return found
    mpeg = inspect_mpeg(file)
    if mpeg is None:
        return Inspection()
    streams = tuple(Stream(stream.pieces, frames=stream.frames) for stream in mpeg.streams)
    return Inspection(streams=streams, notes=mpeg.notes, fault=mpeg.fault)


def _inspect_known(file: SeekableReader, *, file_bytes: int) -> Inspection | None:
    """Look into what its first bytes name; None for what they do not."""
    file.seek(0)
    head = file.read(32)
    magic = head[:4]
    if magic in (b"RIFF", b"RF64", b"RIFX", b"BW64") and head[8:12] == b"WAVE":
        return inspect_riff(file, file_bytes=file_bytes, magic=magic)
    if magic == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return inspect_aiff(file, file_bytes=file_bytes)
    if magic == b"FORM" and head[8:12] in (b"8SVX", b"16SV"):
        return inspect_svx(file, file_bytes=file_bytes)
    if head[:16] == _W64_RIFF:
        return inspect_w64(file, file_bytes=file_bytes)
    if magic == b"caff":
        return inspect_caf(file, file_bytes=file_bytes)
    if magic in (b".snd", b"dns."):
        return inspect_au(head, file_bytes=file_bytes, byteorder="big" if magic == b".snd" else "little")
    if head.startswith(b"NIST_1A\n"):
        return inspect_nist(file, file_bytes=file_bytes)
    if head.startswith(b"Creative Voice File"):
        return inspect_voc(file, file_bytes=file_bytes)
    if magic == b"OggS":
        return inspect_ogg(file, file_bytes=file_bytes)
    if magic == b"fLaC":
        return inspect_flac(file, file_bytes=file_bytes)
    if is_mp4(file):
        return _inspect_mp4(file, file_bytes=file_bytes)
    if media_name(head):
        return inspect_media(file, head=head, file_bytes=file_bytes)
    return inspect_stated(file, file_bytes=file_bytes)


def _inspect_mp4(file: SeekableReader, *, file_bytes: int) -> Inspection:
    missing = {b"moov": "a table of its sound (moov)", b"mdat": "the sound itself (mdat)"}
    for box in boxes(file):
        if box.stop > file_bytes:
            fault = (f"{box.stop} bytes", f"{file_bytes}, the rest is cut off")
            return Inspection(kind="MP4", is_for_ffmpeg=True, fault=fault)
        missing.pop(box.kind, None)
        if not missing:
            note = length_note(file)
            return Inspection(kind="MP4", is_for_ffmpeg=True, notes=(note,) if note else ())
    return Inspection(kind="MP4", is_for_ffmpeg=True, fault=(" and ".join(missing.values()), "none"))
