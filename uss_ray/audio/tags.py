"""What a recording's file says of it besides its sound: titles, dates, comments, and the chunks of broadcast WAV.

Read from WAV, RF64 and AIFF (INFO, `bext`, `iXML`, ID3), FLAC and Ogg (Vorbis comments), and MP3 (ID3). What is damaged
or of another form is passed over: no recording is refused for its words. Pictures and what is very long are left out,
whatever their size, and not read.

Layouts: EBU Tech 3285 (`bext`), the iXML specification, id3.org's ID3v2.2 to 2.4, RFC 9639, xiph.org's Vorbis comments.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from uss_ray.audio.mpeg_audio import after_id3
from uss_ray.audio.splice import SeekableReader, SplicedFile

_MOST_TEXT_BYTES = 1 << 13
_MOST_BYTES = 1 << 16
_MOST_BROADCAST_BYTES = 1 << 20  # of `bext` and iXML
_MOST_CHUNKS = 256
_MOST_ENTRIES = 4096
_MOST_UNSYNCHRONISED_BYTES = 1 << 24  # of such a tag frames cannot be found without reading all
_PAGE_HEADER_BYTES = 27
_TIME_REFERENCE = slice(338, 346)
_BEXT_BYTES = 602
# Pictures, and what is true of the recording's own encoding and loudness alone.
_LEFT_OUT = re.compile(
    "METADATA_BLOCK_PICTURE|COVERART.*|ENCODER.*|ENCODED-BY|WAVEFORMATEXTENSIBLE_.*|REPLAYGAIN_.*|R128_.*|VENDOR"
    "|ITUN.*"
)
INFO_NAMES = {
    "INAM": "TITLE",
    "IART": "ARTIST",
    "IPRD": "ALBUM",
    "ICRD": "DATE",
    "IGNR": "GENRE",
    "ITRK": "TRACKNUMBER",
    "ICOP": "COPYRIGHT",
    "ICMT": "COMMENT",
    "ISFT": "ENCODER",
    "IENG": "ENGINEER",
    "IKEY": "KEYWORDS",
    "ISBJ": "SUBJECT",
    "ISRC": "SOURCE",
    "ITCH": "TECHNICIAN",
    "IARL": "LOCATION",
    "IMED": "SOURCEMEDIA",
    "ILNG": "LANGUAGE",
}
"""Names of Vorbis comments by the chunk of a LIST INFO that means the same; other chunks keep their names."""
ID3_NAMES = {
    "TIT2": "TITLE",
    "TPE1": "ARTIST",
    "TALB": "ALBUM",
    "TDRC": "DATE",
    "TCON": "GENRE",
    "TRCK": "TRACKNUMBER",
    "TCOP": "COPYRIGHT",
    "TCOM": "COMPOSER",
    "TPE2": "ALBUMARTIST",
    "TSRC": "ISRC",
    "TPUB": "ORGANIZATION",
    "TLAN": "LANGUAGE",
    "COMM": "COMMENT",
}
"""The same by the frame of ID3v2.4."""
_OLD_ID3 = {
    "TT2": "TIT2", "TP1": "TPE1", "TAL": "TALB", "TYE": "TDRC", "TYER": "TDRC", "TCO": "TCON", "TRK": "TRCK",
    "TCR": "TCOP", "TCM": "TCOM", "TP2": "TPE2", "COM": "COMM", "TXX": "TXXX",
}  # fmt: skip
# Latin letters by the standard; libsndfile and others write UTF-8 all the same.
_ID3_TEXTS = {0: "utf-8", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}
_AIFF_NAMES = {b"NAME": "TITLE", b"AUTH": "ARTIST", b"(c) ": "COPYRIGHT", b"ANNO": "COMMENT"}
_BEXT_TEXTS = {
    "DESCRIPTION": slice(0, 256),
    "ORIGINATOR": slice(256, 288),
    "ORIGINATOR_REFERENCE": slice(288, 320),
    "ORIGINATION_DATE": slice(320, 330),
    "ORIGINATION_TIME": slice(330, 338),
}


@dataclass(frozen=True)
class RecordingTags:
    """The words of a recording.

    Attributes
    ----------
    texts : tuple of (str, str)
        By the names of Vorbis comments, in capitals, in the order of the file; a name may come several times.
    bext : bytes
        Body of the chunk of broadcast WAV; empty where there is none.
    ixml : bytes
        Body of the chunk of location recorders, as XML; empty where there is none.
    """

    texts: tuple[tuple[str, str], ...] = ()
    bext: bytes = b""
    ixml: bytes = b""

    def moved(self, frames: int) -> RecordingTags:
        """Say the same of a piece of the recording that begins so many samples in: its time of day is later."""
        if not frames:
            return self
        bext = self.bext
        if bext:
            since_midnight = int.from_bytes(bext[_TIME_REFERENCE], "little") + frames
            bext = bext[:338] + since_midnight.to_bytes(8, "little") + bext[346:]
        ixml = _moved_ixml(
            self.ixml, "TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI", "TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO", frames
        )
        ixml = _moved_ixml(ixml, "BWF_TIME_REFERENCE_HIGH", "BWF_TIME_REFERENCE_LOW", frames)
        return replace(self, bext=bext, ixml=ixml)

    def comments(self) -> list[tuple[str, str]]:
        """Say all of it in Vorbis comments: the fields of `bext` by the names FFmpeg has for them, iXML as it is."""
        found = list(self.texts)
        if self.bext:
            found += [
                (name, text) for name, at in _BEXT_TEXTS.items() if (text := _text(self.bext[at], "latin-1"))
            ]
            found.append(("TIME_REFERENCE", str(int.from_bytes(self.bext[_TIME_REFERENCE], "little"))))
            if history := _text(self.bext[_BEXT_BYTES:], "latin-1"):
                found.append(("CODING_HISTORY", history))
        if self.ixml:
            found.append(("IXML", _text(self.ixml, "utf-8")))
        return found

    def to_text(self) -> str:
        """Put all of it into one line, which travels; empty if there is nothing."""
        if self == NO_TAGS:
            return ""
        return json.dumps([self.texts, *(base64.b64encode(one).decode() for one in (self.bext, self.ixml))])

    @classmethod
    def from_text(cls, text: str) -> RecordingTags:
        """Read what `to_text` gave."""
        if not text:
            return cls()
        texts, bext, ixml = json.loads(text)
        return cls(
            tuple((name, value) for name, value in texts), base64.b64decode(bext), base64.b64decode(ixml)
        )


NO_TAGS: Final = RecordingTags()


def read_tags(file: SeekableReader, *, file_bytes: int) -> RecordingTags:
    """Read what a file says of its recording.

    Parameters
    ----------
    file : binary file
        Seekable; its position afterwards is undefined. What it raises must not get lost: see `bridge`.
    file_bytes : int

    Returns
    -------
    RecordingTags
        Without what cannot be read.
    """
    start = after_id3(file)
    file.seek(start)
    head = file.read(12)
    tags = RecordingTags(tuple(_id3_texts(_within(file, 0, start))))
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE":
        tags = _riff_tags(file, start=start + 12, file_bytes=file_bytes)
    elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        tags = _aiff_tags(file, start=start + 12, file_bytes=file_bytes)
    elif head[:4] == b"fLaC":
        tags = RecordingTags((*_flac_texts(file, start + 4), *tags.texts))
    elif head[:4] == b"OggS":
        tags = RecordingTags(tuple(_ogg_texts(file, start)))
    elif not start and file_bytes > 128:
        file.seek(file_bytes - 128)
        tags = RecordingTags(tuple(_id3v1_texts(file.read(128))))
    return replace(tags, texts=_kept(tags.texts))


def _vorbis_comments(file: SeekableReader) -> Iterator[tuple[str, str]]:
    """Read the list of a Vorbis comment, without its framing; ends where it is damaged."""
    stop = file.seek(0, os.SEEK_END)
    at = 4 + int.from_bytes(_read(file, 0, 4), "little")
    count = int.from_bytes(_read(file, at, 4), "little")
    at += 4
    for _ in range(min(count, _MOST_ENTRIES)):
        size = int.from_bytes(_read(file, at, 4), "little")
        at += 4
        if at + size > stop:
            return
        name, equals, value = _body(file, at, size).partition(b"=")
        at += size
        if equals:
            yield _text(name, "ascii").upper(), _text(value, "utf-8")


def _kept(texts: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    kept, room = [], _MOST_BYTES
    for name, text in texts:
        size = len(text.encode())
        if name and text and not _LEFT_OUT.fullmatch(name) and size <= min(room, _MOST_TEXT_BYTES):
            kept.append((name, text))
            room -= size
    return tuple(dict.fromkeys(kept))


def _chunks(
    file: SeekableReader, *, start: int, file_bytes: int, order: str
) -> Iterator[tuple[bytes, int, int]]:
    """Give the name, place and size of each chunk; that of the sound of a long file is as long as it says."""
    long_size = None
    for _ in range(_MOST_CHUNKS):
        file.seek(start)
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], "little" if order == "little" else "big")
        if head[:4] == b"ds64":
            long_size = int.from_bytes(file.read(16)[8:], "little")
        if head[:4] == b"data" and size == 0xFFFFFFFF and long_size is not None:
            size = long_size
        yield head[:4], start + 8, size
        start += 8 + size + size % 2
        if start >= file_bytes:
            return


def _body(file: SeekableReader, at: int, size: int, *, most_bytes: int = _MOST_BYTES) -> bytes:
    return _read(file, at, size) if size <= most_bytes else b""


def _read(file: SeekableReader, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _within(file: SeekableReader, at: int, size: int) -> SplicedFile:
    return SplicedFile(file, [range(at, at + size)])


def _riff_tags(file: SeekableReader, *, start: int, file_bytes: int) -> RecordingTags:
    tags = RecordingTags()
    for name, at, size in _chunks(file, start=start, file_bytes=file_bytes, order="little"):
        if name == b"LIST":
            tags = replace(tags, texts=(*tags.texts, *_info_texts(_within(file, at, size))))
        elif name in (b"id3 ", b"ID3 "):
            tags = replace(tags, texts=(*tags.texts, *_id3_texts(_within(file, at, size))))
        elif name == b"bext" and size >= _BEXT_BYTES:
            tags = replace(tags, bext=_body(file, at, size, most_bytes=_MOST_BROADCAST_BYTES))
        elif name == b"iXML":
            ixml = _body(file, at, size, most_bytes=_MOST_BROADCAST_BYTES)
            tags = replace(tags, ixml=ixml.rstrip(b"\0"))
    return tags


def _aiff_tags(file: SeekableReader, *, start: int, file_bytes: int) -> RecordingTags:
    texts: list[tuple[str, str]] = []
    for name, at, size in _chunks(file, start=start, file_bytes=file_bytes, order="big"):
        if name in _AIFF_NAMES:
            texts.append((_AIFF_NAMES[name], _text(_body(file, at, size), "utf-8")))
        elif name in (b"ID3 ", b"id3 "):
            texts += _id3_texts(_within(file, at, size))
    return RecordingTags(tuple(texts))


def _info_texts(file: SeekableReader) -> Iterator[tuple[str, str]]:
    stop = file.seek(0, os.SEEK_END)
    if _read(file, 0, 4) != b"INFO":
        return
    at = 4
    for _ in range(_MOST_ENTRIES):
        if at + 8 > stop:
            return
        head = _read(file, at, 8)
        name, size = _text(head[:4], "ascii"), int.from_bytes(head[4:], "little")
        yield INFO_NAMES.get(name, name), _text(_body(file, at + 8, size), "utf-8")
        at += 8 + size + size % 2


def _flac_texts(file: SeekableReader, at: int) -> Iterator[tuple[str, str]]:
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            return
        size = int.from_bytes(head[1:], "big")
        if head[0] & 0x7F == 4:
            yield from _vorbis_comments(_within(file, at + 4, size))
        if head[0] & 0x80:
            return
        at += 4 + size


def _ogg_texts(file: SeekableReader, at: int) -> Iterator[tuple[str, str]]:
    """Read the second packet of the first stream, wherever its pages lie."""
    serial = _read(file, at + 14, 4)
    ended, pieces = 0, []
    for _ in range(_MOST_ENTRIES):
        head = _read(file, at, _PAGE_HEADER_BYTES + 255)
        if len(head) < _PAGE_HEADER_BYTES or head[:4] != b"OggS" or ended > 1:
            break
        table = head[_PAGE_HEADER_BYTES : _PAGE_HEADER_BYTES + head[_PAGE_HEADER_BYTES - 1]]
        at += _PAGE_HEADER_BYTES + len(table)
        for size in table:
            if ended == 1 and head[14:18] == serial:
                pieces.append(range(at, at + size))
            ended += size < 255 and head[14:18] == serial
            at += size
    packet = SplicedFile(file, pieces)
    for magic in (b"\x03vorbis", b"OpusTags"):
        if _read(packet, 0, len(magic)) == magic:
            size = packet.seek(0, os.SEEK_END)
            yield from _vorbis_comments(_within(packet, len(magic), size - len(magic)))


def _id3_texts(file: SeekableReader) -> Iterator[tuple[str, str]]:
    """Walk the frames of a tag and read those of words."""
    head = _read(file, 0, 10)
    if head[:3] != b"ID3" or len(head) < 10 or head[3] not in (2, 3, 4):
        return
    version, flags = head[3], head[5]
    size = min(_syncsafe(head[6:10]), file.seek(0, os.SEEK_END) - 10)
    body: SeekableReader = _within(file, 10, size)
    is_unsynchronised = bool(flags & 0x80)
    if is_unsynchronised and version < 4:
        body = io.BytesIO(_synchronised(_body(file, 10, size, most_bytes=_MOST_UNSYNCHRONISED_BYTES)))
    stop = body.seek(0, os.SEEK_END)
    at, width = 0, 3 if version == 2 else 4
    if flags & 0x40 and version > 2:
        extended = _read(body, 0, 4)
        at = _syncsafe(extended) if version == 4 else 4 + int.from_bytes(extended, "big")
    head_bytes = 2 * width + (0 if version == 2 else 2)
    for _ in range(_MOST_ENTRIES):
        head = _read(body, at, head_bytes)
        if at + head_bytes > stop or len(head) < head_bytes or head[0] == 0:
            return
        name = _text(head[:width], "ascii")
        name = _OLD_ID3.get(name, name)
        field = head[width : 2 * width]
        count = _syncsafe(field) if version == 4 else int.from_bytes(field, "big")
        at += head_bytes
        if name in ID3_NAMES or name == "TXXX":
            frame = _body(body, at, min(count, stop - at))
            marks = head[-1] if version > 2 else 0
            if version == 4:
                frame = _plain_frame(frame, marks | (0x02 if is_unsynchronised else 0))
            elif marks:
                frame = _plain_old_frame(frame, marks)
            yield from _frame_texts(name, frame)
        at += count


def _plain_frame(frame: bytes, marks: int) -> bytes:
    """Undo what the flags of a frame of ID3v2.4 say: a group's byte, a length, unsynchronisation, zlib."""
    if marks & 0x04:  # encrypted
        return b""
    if marks & 0x40:
        frame = frame[1:]
    if marks & 0x01:
        frame = frame[4:]
    if marks & 0x02:
        frame = _synchronised(frame)
    return _inflated(frame) if marks & 0x08 else frame


def _plain_old_frame(frame: bytes, marks: int) -> bytes:
    """Undo those of ID3v2.3: a length before what is packed, and a group's byte."""
    if marks & 0x40:  # encrypted
        return b""
    frame = frame[(4 if marks & 0x80 else 0) + (1 if marks & 0x20 else 0) :]
    return _inflated(frame) if marks & 0x80 else frame


def _synchronised(body: bytes) -> bytes:
    return body.replace(b"\xff\x00", b"\xff")


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MOST_BYTES)
    except zlib.error:
        return b""


def _frame_texts(name: str, frame: bytes) -> Iterator[tuple[str, str]]:
    encoding = _ID3_TEXTS.get(frame[0], "") if frame else ""
    if not encoding:
        return
    if name == "COMM":
        description, *parts = _split(frame[4:], encoding)
        if parts and not _LEFT_OUT.fullmatch(description.upper()):
            yield "COMMENT", parts[-1]
    elif name == "TXXX":
        description, *values = _split(frame[1:], encoding)
        yield from ((re.sub(r"[^ -<>-}]", "_", description).upper(), value) for value in values)
    elif name in ID3_NAMES:
        yield from ((ID3_NAMES[name], value) for value in _split(frame[1:], encoding))


def _split(text: bytes, encoding: str) -> list[str]:
    """Split at zeros; each part may begin with the mark of its byte order."""
    if encoding == "utf-8":
        decoded = "\0".join(_text(part, encoding) for part in text.rstrip(b"\0").split(b"\0"))
    else:
        decoded = text.decode(encoding, "replace")
    return [part.strip("\ufeff \r\n") for part in decoded.rstrip("\0").split("\0")]


def _id3v1_texts(tail: bytes) -> Iterator[tuple[str, str]]:
    if tail[:3] == b"TAG":
        for name, at in (
            ("TITLE", slice(3, 33)),
            ("ARTIST", slice(33, 63)),
            ("ALBUM", slice(63, 93)),
            ("DATE", slice(93, 97)),
            ("COMMENT", slice(97, 125)),
        ):
            yield name, _text(tail[at], "latin-1")


def _moved_ixml(ixml: bytes, high: str, low: str, frames: int) -> bytes:
    """Add to a number that stands in two elements, of 32 bits each."""
    patterns = [re.compile(rf"(<{name}>)\s*(\d+)\s*(</{name}>)".encode()) for name in (high, low)]
    found = [pattern.search(ixml) for pattern in patterns]
    if found[0] is None or found[1] is None:
        return ixml
    value = (int(found[0][2]) << 32) + int(found[1][2]) + frames
    for pattern, part in zip(patterns, (value >> 32, value & 0xFFFFFFFF), strict=True):
        ixml = pattern.sub(rb"\g<1>%d\g<3>" % part, ixml)
    return ixml


def _syncsafe(size: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(size)))


def _text(text: bytes, encoding: str) -> str:
    """Decode up to the first zero; what is not of the encoding is taken for Windows' Latin letters."""
    text = text.rstrip(b"\0").split(b"\0")[0]
    try:
        return text.decode(encoding).strip()
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace").strip()
