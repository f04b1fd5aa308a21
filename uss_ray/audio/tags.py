"""What a recording's file says of it besides its sound: titles, dates, comments, and the chunks of broadcast WAV.

Read from WAV, RF64 and AIFF (INFO, `bext`, `iXML`, ID3), FLAC and Ogg (Vorbis comments), and MP3 (ID3). What is damaged
or of another form is passed over: no recording is refused for its words. Pictures and what is very long are left out.

Layouts: EBU Tech 3285 (`bext`), the iXML specification, id3.org's ID3v2.2 to 2.4, RFC 9639, xiph.org's Vorbis comments.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from uss_ray.audio.splice import SeekableReader

_MOST_TEXT_BYTES = 1 << 13
_MOST_BYTES = 1 << 16
_MOST_CHUNKS = 256
_FIRST_PAGES_BYTES = 1 << 17
_TIME_REFERENCE = slice(338, 346)
_BEXT_BYTES = 602
# Pictures, and what is true of the recording's own encoding and loudness alone.
_LEFT_OUT = re.compile(
    "METADATA_BLOCK_PICTURE|COVERART.*|ENCODER.*|ENCODED-BY|WAVEFORMATEXTENSIBLE_.*|REPLAYGAIN_.*|R128_.*|VENDOR"
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
    id3, start = _leading_id3(file)
    file.seek(start)
    head = file.read(12)
    tags = RecordingTags(tuple(_id3_texts(id3)))
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE":
        tags = _riff_tags(file, start=start + 12, file_bytes=file_bytes)
    elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        tags = _aiff_tags(file, start=start + 12, file_bytes=file_bytes)
    elif head[:4] == b"fLaC":
        tags = RecordingTags((*_flac_texts(file, start + 4), *tags.texts))
    elif head[:4] == b"OggS":
        file.seek(start)
        tags = RecordingTags(tuple(_ogg_texts(file.read(_FIRST_PAGES_BYTES))))
    elif not id3 and file_bytes > 128:
        file.seek(file_bytes - 128)
        tags = RecordingTags(tuple(_id3v1_texts(file.read(128))))
    return replace(tags, texts=_kept(tags.texts))


def vorbis_comments(body: bytes) -> Iterator[tuple[str, str]]:
    """Read the list of a Vorbis comment, without its framing; ends where it is damaged."""
    at = 4 + int.from_bytes(body[:4], "little")
    count = int.from_bytes(body[at : at + 4], "little")
    at += 4
    for _ in range(count):
        size = int.from_bytes(body[at : at + 4], "little")
        at += 4
        if at + size > len(body):
            return
        name, equals, value = body[at : at + size].partition(b"=")
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


def _body(file: SeekableReader, at: int, size: int) -> bytes:
    if size > _MOST_BYTES:
        return b""
    file.seek(at)
    return file.read(size)


def _riff_tags(file: SeekableReader, *, start: int, file_bytes: int) -> RecordingTags:
    tags = RecordingTags()
    for name, at, size in _chunks(file, start=start, file_bytes=file_bytes, order="little"):
        if name == b"LIST":
            tags = replace(tags, texts=(*tags.texts, *_info_texts(_body(file, at, size))))
        elif name in (b"id3 ", b"ID3 "):
            tags = replace(tags, texts=(*tags.texts, *_id3_texts(_body(file, at, size))))
        elif name == b"bext" and size >= _BEXT_BYTES:
            tags = replace(tags, bext=_body(file, at, size))
        elif name == b"iXML":
            tags = replace(tags, ixml=_body(file, at, size).rstrip(b"\0"))
    return tags


def _aiff_tags(file: SeekableReader, *, start: int, file_bytes: int) -> RecordingTags:
    texts: list[tuple[str, str]] = []
    for name, at, size in _chunks(file, start=start, file_bytes=file_bytes, order="big"):
        if name in _AIFF_NAMES:
            texts.append((_AIFF_NAMES[name], _text(_body(file, at, size), "utf-8")))
        elif name in (b"ID3 ", b"id3 "):
            texts += _id3_texts(_body(file, at, size))
    return RecordingTags(tuple(texts))


def _info_texts(body: bytes) -> Iterator[tuple[str, str]]:
    if body[:4] != b"INFO":
        return
    at = 4
    while at + 8 <= len(body):
        name, size = _text(body[at : at + 4], "ascii"), int.from_bytes(body[at + 4 : at + 8], "little")
        yield INFO_NAMES.get(name, name), _text(body[at + 8 : at + 8 + size], "utf-8")
        at += 8 + size + size % 2


def _flac_texts(file: SeekableReader, at: int) -> Iterator[tuple[str, str]]:
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            return
        size = int.from_bytes(head[1:], "big")
        if head[0] & 0x7F == 4:
            yield from vorbis_comments(_body(file, at + 4, size))
        if head[0] & 0x80:
            return
        at += 4 + size


def _ogg_texts(pages: bytes) -> Iterator[tuple[str, str]]:
    """Read the second packet of the first stream."""
    packets, at, serial = [b""], 0, pages[14:18]
    while len(packets) < 3 and len(pages) > at + 27 and pages[at : at + 4] == b"OggS":
        table = pages[at + 27 : at + 27 + pages[at + 26]]
        at += 27 + len(table)
        if pages[at - 13 - len(table) : at - 9 - len(table)] != serial:
            at += sum(table)
            continue
        for size in table:
            packets[-1] += pages[at : at + size]
            at += size
            if size < 255:
                packets.append(b"")
    for magic in (b"\x03vorbis", b"OpusTags"):
        if len(packets) > 1 and packets[1].startswith(magic):
            yield from vorbis_comments(packets[1][len(magic) :])


def _leading_id3(file: SeekableReader) -> tuple[bytes, int]:
    """Give the ID3v2 that the file begins with, its first part where it is long, and where it ends."""
    file.seek(0)
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return b"", 0
    size = _syncsafe(head[6:10])
    return head + file.read(min(size, _MOST_BYTES)), 10 + size


def _id3_texts(tag: bytes) -> Iterator[tuple[str, str]]:
    if tag[:3] != b"ID3" or len(tag) < 10 or tag[3] not in (2, 3, 4):
        return
    version, flags = tag[3], tag[5]
    body = tag[10:].replace(b"\xff\x00", b"\xff") if flags & 0x80 and version < 4 else tag[10:]
    at, width = 0, 3 if version == 2 else 4
    if flags & 0x40 and version > 2:
        at = _syncsafe(body[:4]) if version == 4 else 4 + int.from_bytes(body[:4], "big")
    while at + 2 * width < len(body) and body[at] != 0:
        name = _text(body[at : at + width], "ascii")
        size = body[at + width : at + 2 * width]
        at += 2 * width + (0 if version == 2 else 2)
        count = _syncsafe(size) if version == 4 else int.from_bytes(size, "big")
        yield from _frame_texts(_OLD_ID3.get(name, name), body[at : at + count])
        at += count


def _frame_texts(name: str, frame: bytes) -> Iterator[tuple[str, str]]:
    encoding = _ID3_TEXTS.get(frame[0], "") if frame else ""
    if not encoding:
        return
    if name == "COMM":
        parts = _split(frame[4:], encoding)
        yield "COMMENT", parts[-1] if len(parts) > 1 else ""
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
