"""Words and cue points into a finished stem: its sound stays as it is, byte for byte, and what is said lies before it.

WAV has chunks (INFO, `bext`, `iXML`, `cue `), FLAC, Vorbis and Opus have Vorbis comments, MP3 has ID3v2.4. The same
words give the same bytes: nothing of the day or the machine is written.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from uss_ray.audio.ogg import OggPage, read_pages
from uss_ray.audio.spec import StemFormat
from uss_ray.audio.tags import ID3_NAMES, INFO_NAMES, RecordingTags

_COPY_BYTES = 1 << 20
_MOST_RIFF_BYTES = 0xFFFFFFFF
_MOST_SEGMENTS = 255
_NO_PACKET_ENDS = bytes([0xFF]) * 8


@dataclass(frozen=True)
class Cue:
    """A stretch of a stem that is marked.

    Attributes
    ----------
    start_frame, frames : int
        Where it begins in the stem, and how long it is.
    label : str
    """

    start_frame: int
    frames: int
    label: str


@dataclass(frozen=True)
class StemTags:
    """What a stem says of itself.

    Attributes
    ----------
    recording : RecordingTags
        Of the recording it was made from.
    comment : str
        What the stem is.
    software : str
        What made it, with its version.
    start_frame : int
        Where in the recording the stem begins.
    cues : tuple of Cue
        Only WAV has a place for them.
    """

    recording: RecordingTags
    comment: str
    software: str
    start_frame: int = 0
    cues: tuple[Cue, ...] = ()


def write_tagged(source: Path, target: BinaryIO, *, stem_format: StemFormat, tags: StemTags) -> None:
    """Copy a finished stem, with what it says of itself.

    Parameters
    ----------
    source : Path
        As the encoder left it.
    target : binary file
        Empty.
    stem_format : {"flac", "wav", "ogg", "opus", "mp3"}
    tags : StemTags

    Raises
    ------
    OSError
        If a file cannot be read or written, or is not of the format.
    """
    recording = tags.recording.moved(tags.start_frame)
    with open(source, "rb") as file:
        if stem_format == "wav":
            _write_wav(file, target, recording=recording, tags=tags)
            return
        comments = [*recording.comments(), ("COMMENT", tags.comment), ("ENCODER", tags.software)]
        if stem_format == "flac":
            _write_flac(file, target, comments=comments)
        elif stem_format == "mp3":
            target.write(_id3(comments))
            shutil.copyfileobj(file, target, _COPY_BYTES)
        else:
            _write_ogg(file, target, comments=comments)


def _write_wav(file: BinaryIO, target: BinaryIO, *, recording: RecordingTags, tags: StemTags) -> None:
    """Put the chunks before the format; in RF64 the chunk of the sizes stays the first."""
    head = file.read(12)
    is_long = head[:4] == b"RF64"
    head += file.read(8 + 28) if is_long else b""
    file_bytes = file.seek(0, os.SEEK_END)
    texts = _with_comment(recording.texts, tags.comment)
    said = b"".join(
        (
            _chunk(b"bext", _even(recording.bext, b"\0")) if recording.bext else b"",
            _chunk(b"iXML", _even(recording.ixml, b"\n")) if recording.ixml else b"",
            _chunk(b"LIST", b"INFO" + b"".join(_info_chunks([*texts, ("ENCODER", tags.software)]))),
        )
    )
    marks = _cue_chunks(tags.cues)
    if is_long or file_bytes - 8 + len(said) + len(marks) <= _MOST_RIFF_BYTES:
        said += marks
    if is_long:
        size = int.from_bytes(head[20:28], "little") + len(said)
        head = head[:20] + size.to_bytes(8, "little") + head[28:]
    else:
        size = int.from_bytes(head[4:8], "little") + len(said)
        head = head[:4] + size.to_bytes(4, "little") + head[8:]
    target.write(head + said)
    file.seek(len(head))
    shutil.copyfileobj(file, target, _COPY_BYTES)


def _with_comment(texts: Sequence[tuple[str, str]], comment: str) -> list[tuple[str, str]]:
    """INFO has one comment: the recording's, and then ours."""
    own = [text for name, text in texts if name == "COMMENT"]
    return [
        *((name, text) for name, text in texts if name != "COMMENT"),
        ("COMMENT", "; ".join([*own, comment])),
    ]


def _info_chunks(texts: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """Give a chunk for each name that INFO knows, once; values of one name stand behind each other."""
    names = {name: chunk for chunk, name in INFO_NAMES.items()}
    values: dict[str, list[str]] = {}
    for name, text in texts:
        chunk = names.get(name, name)
        if re.fullmatch(r"I[A-Z0-9]{3}", chunk):
            values.setdefault(chunk, []).append(text)
    for chunk, found in values.items():
        yield _chunk(chunk.encode(), "; ".join(found).encode() + b"\0")


def _cue_chunks(cues: Sequence[Cue]) -> bytes:
    """Mark stretches: points, their names, and how long they are."""
    kept = [cue for cue in cues if 0 <= cue.start_frame < 1 << 32]
    if not kept:
        return b""
    points, names = len(kept).to_bytes(4, "little"), b"adtl"
    for number, cue in enumerate(kept, start=1):
        key, at = number.to_bytes(4, "little"), cue.start_frame.to_bytes(4, "little")
        length = min(cue.frames, _MOST_RIFF_BYTES).to_bytes(4, "little")
        points += key + at + b"data" + bytes(8) + at
        names += _chunk(b"labl", key + cue.label.encode() + b"\0")
        names += _chunk(b"ltxt", key + length + b"rgn " + bytes(8))
    return _chunk(b"cue ", points) + _chunk(b"LIST", names)


def _even(body: bytes, filler: bytes) -> bytes:
    """Fill up what would be padded: libsndfile reads RF64 as if nothing were."""
    return body + filler * (len(body) % 2)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)


def _write_flac(file: BinaryIO, target: BinaryIO, *, comments: Sequence[tuple[str, str]]) -> None:
    if file.read(4) != b"fLaC":
        raise OSError("expected a FLAC stream, found something else")
    blocks: list[tuple[int, bytes]] = []
    is_last = False
    while not is_last:
        head = file.read(4)
        body = file.read(int.from_bytes(head[1:], "big"))
        is_last = bool(head[0] & 0x80)
        blocks.append((head[0] & 0x7F, body))
    vendor = next((_vendor(body) for kind, body in blocks if kind == 4), b"")
    others = [(kind, body) for kind, body in blocks if kind != 4]
    said = [*others[:1], (4, _vorbis_comment(vendor, comments)), *others[1:]]
    target.write(b"fLaC")
    for place, (kind, body) in enumerate(said, start=1):
        target.write(
            bytes([kind | (0x80 if place == len(said) else 0)]) + len(body).to_bytes(3, "big") + body
        )
    shutil.copyfileobj(file, target, _COPY_BYTES)


def _write_ogg(file: BinaryIO, target: BinaryIO, *, comments: Sequence[tuple[str, str]]) -> None:
    """Write the header anew and number the pages behind it; their checksums are set with the serial number."""
    pages = read_pages(file)
    first = _next(pages)
    is_opus = first.body.startswith(b"OpusHead")
    magic = b"OpusTags" if is_opus else b"\x03vorbis"
    packets, count = [b""], 1 if is_opus else 2
    last = first
    while len(packets) <= count:
        last = _next(pages)
        at = 0
        for size in last.header[27:]:
            packets[-1] += last.body[at : at + size]
            at += size
            if size < 255:
                packets.append(b"")
    said = (
        magic + _vorbis_comment(_vendor(packets[0][len(magic) :]), comments) + (b"" if is_opus else b"\x01")
    )
    target.write(first.header + first.body)
    header = list(_header_pages([said, *packets[1:count]], serial=first.header[14:18]))
    target.write(b"".join(header))
    moved = len(header) - _sequence(last)
    for page in pages:
        number = (_sequence(page) + moved) & 0xFFFFFFFF
        target.write(page.header[:18] + number.to_bytes(4, "little") + page.header[22:] + page.body)


def _next(pages: Iterator[OggPage]) -> OggPage:
    page = next(pages, None)
    if page is None:
        raise OSError("expected the header of an Ogg stream, found its end")
    return page


def _header_pages(packets: Sequence[bytes], *, serial: bytes) -> Iterator[bytes]:
    """Lay packets into pages, from the second of a stream on (RFC 3533, section 6)."""
    segments: list[tuple[bytes, bool]] = []
    for packet in packets:
        pieces = [packet[at : at + 255] for at in range(0, len(packet) + 1, 255)]
        segments += [(piece, place == len(pieces) - 1) for place, piece in enumerate(pieces)]
    goes_on = False
    for number, at in enumerate(range(0, len(segments), _MOST_SEGMENTS), start=1):
        held = segments[at : at + _MOST_SEGMENTS]
        granule = bytes(8) if any(is_end for _, is_end in held) else _NO_PACKET_ENDS
        head = b"OggS\0" + bytes([goes_on]) + granule + serial + number.to_bytes(4, "little") + bytes(4)
        yield (
            head + bytes([len(held)]) + bytes(len(piece) for piece, _ in held) + b"".join(p for p, _ in held)
        )
        goes_on = not held[-1][1]


def _sequence(page: OggPage) -> int:
    return int.from_bytes(page.header[18:22], "little")


def _vendor(comment: bytes) -> bytes:
    return comment[4 : 4 + int.from_bytes(comment[:4], "little")]


def _vorbis_comment(vendor: bytes, comments: Sequence[tuple[str, str]]) -> bytes:
    said = [f"{name}={text}".encode() for name, text in comments if re.fullmatch(r"[ -<>-}]+", name)]
    return b"".join(
        len(part).to_bytes(4, "little") + part if part is not None else len(said).to_bytes(4, "little")
        for part in (vendor, None, *said)
    )


def _id3(comments: Sequence[tuple[str, str]]) -> bytes:
    frames = {name: frame for frame, name in ID3_NAMES.items() if frame != "COMM"}
    texts: dict[str, list[str]] = {}
    said = b""
    notes = [text for name, text in comments if name == "COMMENT"]
    for name, text in comments:
        if name in frames:
            texts.setdefault(frames[name], []).append(text)
        elif name == "ENCODER":
            texts["TSSE"] = [text]
        elif name != "COMMENT":
            said += _frame("TXXX", b"\x03" + name.encode() + b"\0" + text.encode())
    for frame, values in texts.items():
        said += _frame(frame, b"\x03" + "\0".join(values).encode())
    said += _frame("COMM", b"\x03und\0" + "; ".join(notes).encode())
    return b"ID3\x04\0\0" + _syncsafe(len(said)) + said


def _frame(name: str, body: bytes) -> bytes:
    return name.encode() + _syncsafe(len(body)) + bytes(2) + body


def _syncsafe(size: int) -> bytes:
    return bytes(size >> 7 * place & 0x7F for place in (3, 2, 1, 0))
