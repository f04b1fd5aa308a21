"""The frames of an MPEG audio stream (MP3, MP2, MP1): where they begin and end, and how much sound they are.

libsndfile believes a length header, and where there is none it guesses from the first frame; where the stream breaks,
it ends. Here all frames are counted. A file whose header states them is shown as it is; of others tags, junk and what
is damaged are left out, and what is shown to the decoder begins with a header that it believes. No audio is decoded.

Frame layout: ISO/IEC 11172-3 and 13818-3; the headers are those that Xing's and Fraunhofer's encoders introduced.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from uss_ray.audio.blank import TAGS, is_blank
from uss_ray.audio.splice import Piece, SeekableReader

# Any that makes the frame long enough for the header, whatever the version and rate.
_BITRATE_INDEX = 9
_RATES_MPEG1 = (44100, 48000, 32000)
_KBITS = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# In a row, before bytes behind something else count as frames.
_CHAIN = 4
_MOST_JUNK_BYTES = 1 << 20
_WINDOW_BYTES = 1 << 20
_SEARCHED_BYTES = 1 << 16
_MOST_TOLD = 3
_APE_HEADER = 0x20
# What may be the start of a frame, as far as a pattern tells.
_SYNC = re.compile(rb"\xff(?=[\xe2-\xff][\x10-\xef])")
_LAME_BYTES = 36


class FrameHeader(NamedTuple):
    """The four bytes at the start of a frame, understood."""

    raw: bytes
    is_mpeg1: bool
    layer: int
    sample_rate: int
    is_mono: bool

    @property
    def side_info_bytes(self) -> int:
        """Bytes between the frame header and a length header."""
        if self.is_mpeg1:
            return 17 if self.is_mono else 32
        return 9 if self.is_mono else 17

    @property
    def samples(self) -> int:
        """Samples in each channel of a frame."""
        if self.layer == 1:
            return 384
        return 1152 if self.layer == 2 or self.is_mpeg1 else 576

    @property
    def coding(self) -> tuple[bool, int, int, bool]:
        """What stays the same throughout a stream."""
        return self.is_mpeg1, self.layer, self.sample_rate, self.is_mono

    @property
    def size(self) -> int:
        """Bytes of the frame."""
        return self.frame_bytes(self.raw[2] >> 4, padding=self.raw[2] >> 1 & 1)

    def frame_bytes(self, bitrate_index: int, *, padding: int) -> int:
        """Size of a frame of so many bits a second."""
        bits = _KBITS[self.is_mpeg1, self.layer][bitrate_index] * 1000
        if self.layer == 1:
            return (12 * bits // self.sample_rate + padding) * 4
        return self.samples // 8 * bits // self.sample_rate + padding


@dataclass(frozen=True)
class MpegStream:
    """One stream of frames, as it is to be shown to a decoder.

    Attributes
    ----------
    pieces : tuple of Piece
    frames : int or None
        Samples in each channel where they were counted here and the decoder would guess; None leaves it to the
        decoder.
    """

    pieces: tuple[Piece, ...]
    frames: int | None = None


@dataclass(frozen=True)
class MpegAudio:
    """What a file of MPEG audio holds.

    Attributes
    ----------
    streams : tuple of MpegStream
        One behind the other.
    notes : tuple of str
        What its headers say that is not so.
    fault : (str, str) or None
        What was expected and what was found, where sound is missing.
    """

    streams: tuple[MpegStream, ...]
    notes: tuple[str, ...] = ()
    fault: tuple[str, str] | None = None


@dataclass
class _Run:
    """Frames that belong together: the stretches they lie in, with nothing else between."""

    start: int
    first: FrameHeader
    info: _Info | None = None
    stretches: list[range] = field(default_factory=list)
    count: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)  # frames before, and bytes that are none
    ends_within_frame: bool = False

    def add(self, start: int, stop: int) -> None:
        if self.stretches and self.stretches[-1].stop == start:
            start = self.stretches.pop().start
        self.stretches.append(range(start, stop))

    @property
    def is_complete(self) -> bool:
        """Whether all frames that its header states are there."""
        return self.info is not None and bool(self.info.frames) and self.count >= (self.info.frames or 0)

    @property
    def has_gaps_within(self) -> bool:
        """Whether frames come behind bytes that are none."""
        return any(before < self.count for before, _ in self.gaps)

    @property
    def is_damaged(self) -> bool:
        """Whether bytes of it are missing: by what lies between its frames, its end, or what its header says."""
        if self.has_gaps_within or self.ends_within_frame:
            return True
        if not self.stretches or self.info is None or not self.info.byte_count:
            return False
        held = self.stretches[-1].stop - self.start
        return self.info.byte_count - held >= held // (self.count + 1)


class _Info(NamedTuple):
    """A length header.

    `frames` is None where it tells none; `gapless` is the note of LAME behind it.
    """

    is_vbri: bool
    frames: int | None
    byte_count: int | None
    gapless: bytes


@dataclass
class _Bytes:
    """A file in windows, for many small reads."""

    file: SeekableReader
    start: int = 0
    held: bytes = field(default=b"", repr=False)

    def at(self, offset: int, count: int) -> bytes:
        if not self.start <= offset <= offset + count <= self.start + len(self.held):
            self.file.seek(offset)
            self.start, self.held = offset, self.file.read(max(count, _WINDOW_BYTES))
        return self.held[offset - self.start : offset - self.start + count]


def after_id3(file: SeekableReader, start: int = 0) -> int:
    """Find where the ID3v2 tags end with which a file begins."""
    while True:
        file.seek(start)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3":
            return start
        has_footer = tag[5] >> 4 & 1
        size = 0
        for byte in tag[6:]:
            size = size << 7 | byte & 0x7F
        start += 10 + 10 * has_footer + size


def inspect_mpeg(file: SeekableReader, *, start: int = 0, stop: int | None = None) -> MpegAudio | None:
    """Look at a file, or a stretch of one, that may be MPEG audio.

    Parameters
    ----------
    file : binary file
        Seekable; its position afterwards is undefined.
    start, stop : int, optional
        The stretch; None is the end of the file.

    Returns
    -------
    MpegAudio or None
        None where there are no frames, or such of a kind that is left to the decoder.
    """
    stop = file.seek(0, os.SEEK_END) if stop is None else stop
    data = _Bytes(file)
    after_tags = after_id3(file, start)
    at = _find_chain(data, after_tags, stop=stop, limit=after_tags + _MOST_JUNK_BYTES)
    if at is None:
        return None
    first = parse(data.at(at, 4))
    assert first is not None
    runs = list(_runs(data, at, stop=stop))
    changed = next((run for run in runs if run.first.coding[1:] != first.coding[1:]), None)
    if changed is not None:
        return MpegAudio((), fault=(f"{_wording(first)} throughout", _wording(changed.first)))
    notes, fault = [], None
    for run in runs:
        stated = run.info.frames if run.info else None
        if stated and run.count > stated + 1:
            notes.append(f"the MP3's length header says {stated} frames, there are {run.count}")
        # Some writers count the header as well.
        elif stated and (run.count < stated - 1 or (run.count < stated and run.is_damaged)):
            lost = "some are damaged" if run.has_gaps_within else "the rest is cut off"
            fault = (f"{stated} MPEG frames, as the header says", f"{run.count}, {lost}")
        if run.ends_within_frame and not run.is_complete:
            notes.append("the last MPEG frame is not whole: read up to it")
    notes += _gap_notes(runs)
    if len(runs) == 1 and _is_as_stated(runs[0]):
        shown = start if at == after_tags else at
        return MpegAudio((MpegStream((range(shown, stop),)),))
    return MpegAudio(tuple(_shown(run) for run in runs), tuple(notes), fault)


@lru_cache(maxsize=1 << 12)
def parse(raw: bytes) -> FrameHeader | None:
    """Understand the first four bytes of a frame; None for anything else, and for frames of free size."""
    if len(raw) < 4 or raw[0] != 0xFF or raw[1] & 0xE0 != 0xE0:
        return None
    version, layer = raw[1] >> 3 & 3, 4 - (raw[1] >> 1 & 3)
    bitrate_index, rate_index = raw[2] >> 4, raw[2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate_index in (0, 15) or rate_index == 3:
        return None
    divisor = {3: 1, 2: 2, 0: 4}[version]
    return FrameHeader(raw, version == 3, layer, _RATES_MPEG1[rate_index] // divisor, raw[3] >> 6 == 3)


def _is_as_stated(run: _Run) -> bool:
    info = run.info
    return info is not None and not info.is_vbri and info.frames == run.count and len(run.stretches) == 1


def _gap_notes(runs: list[_Run]) -> Iterator[str]:
    """Say where bytes were left out that are no frames, and how many."""
    before = 0
    gaps = []
    for run in runs:
        seconds = run.first.samples / run.first.sample_rate
        gaps += [((before + at) * seconds, count) for at, count in run.gaps]
        before += run.count
    if gaps:
        places = ", ".join(f"{count} at {at:.1f} s" for at, count in gaps[:_MOST_TOLD])
        more = f" and {len(gaps) - _MOST_TOLD} more places" if len(gaps) > _MOST_TOLD else ""
        total = sum(count for _, count in gaps)
        yield f"{total} bytes within the MPEG stream are no frames and were left out: {places}{more}"


def _find_chain(data: _Bytes, at: int, *, stop: int, limit: int) -> int | None:
    """Find the first of several frames in a row, before `limit`."""
    limit = min(limit, stop - 4)
    while at <= limit:
        window = data.at(at, max(4, min(_SEARCHED_BYTES, stop - at)))
        for found in _SYNC.finditer(window):
            place = at + found.start()
            if place > limit:
                return None
            if _is_chain(data, place, stop=stop):
                return place
        at += max(1, len(window) - 2)
    return None


def _is_chain(data: _Bytes, at: int, *, stop: int) -> bool:
    first = header = parse(data.at(at, 4))
    for seen in range(_CHAIN):
        if header is None or first is None or header.coding != first.coding:
            return False
        at += header.size
        if at + 4 > stop:
            return seen > 0
        header = parse(data.at(at, 4))
        if header is None and seen > 0 and data.at(at, 16).startswith(TAGS):
            return True
    return True


def _after_tags(data: _Bytes, at: int, *, stop: int) -> int:
    """Find where the tags end that lie between frames; what claims more than there is, is none."""
    while True:
        head = data.at(at, 32)
        if head.startswith(b"ID3"):
            end = after_id3(data.file, at)
        elif head.startswith(b"APETAGEX"):
            is_header = len(head) == 32 and head[23] & _APE_HEADER
            end = at + 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
        elif head.startswith(b"TAG"):
            end = at + 128
        else:
            return at
        if not at < end <= stop:
            return at
        at = end


def _is_old_ape(data: _Bytes, at: int, *, stop: int) -> bool:
    """Tell whether all that is left is an APE tag without a header, perhaps with an ID3v1 behind it."""
    for end in (stop, stop - 128):
        foot = data.at(max(at, end - 32), 32)
        if foot.startswith(b"APETAGEX") and end - int.from_bytes(foot[12:16], "little") == at:
            return True
    return False


def _runs(data: _Bytes, at: int, *, stop: int) -> Iterator[_Run]:
    """Walk all frames; a length header begins another run, and so does a change of the coding."""
    run: _Run | None = None
    coding: tuple[bool, int, int, bool] | None = None
    while at + 4 <= stop:
        header = parse(data.at(at, 4))
        if header is None or (run is not None and header.coding != coding):
            # One frame of another coding is damage, several are a change.
            after_tags = _after_tags(data, at, stop=stop)
            found = _find_chain(data, after_tags, stop=stop, limit=stop)
            is_gap = found != after_tags and (
                found is not None
                or not (
                    is_blank(data.file, after_tags, file_bytes=stop)
                    or _is_old_ape(data, after_tags, stop=stop)
                )
            )
            if run is not None and is_gap and not run.is_complete:
                run.gaps.append((run.count, (stop if found is None else found) - after_tags))
            if found is None:
                break
            header = parse(data.at(found, 4))
            assert header is not None
            at = found
        info = _info(data, at, header)
        if run is None or info is not None or header.coding != coding:
            if run is not None and run.count:
                yield run
            run = _Run(at, header, info)
            coding = header.coding
        if at + header.size > stop:
            run.ends_within_frame = True
            break
        if info is None:
            run.add(at, at + header.size)
            run.count += 1
        at += header.size
    if run is not None and run.count:
        yield run


def _info(data: _Bytes, at: int, header: FrameHeader) -> _Info | None:
    if header.layer != 3:
        return None
    body = data.at(at + 4, 36 + 26)
    if body[32:36] == b"VBRI":
        return _Info(True, int.from_bytes(body[46:50], "big"), int.from_bytes(body[42:46], "big"), b"")
    side = header.side_info_bytes + (0 if header.raw[1] & 1 else 2)
    for offset in {side, header.side_info_bytes}:
        if body[offset : offset + 4] in (b"Xing", b"Info"):
            return _xing(data.at(at + 4 + offset, 160))
    return None


def _xing(body: bytes) -> _Info:
    flags, place = int.from_bytes(body[4:8], "big"), 8
    numbers: list[int | None] = []
    for flag in (1, 2):
        numbers.append(int.from_bytes(body[place : place + 4], "big") if flags & flag else None)
        place += 4 if flags & flag else 0
    place += (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
    gapless = body[place : place + _LAME_BYTES]
    return _Info(
        False, numbers[0], numbers[1], gapless if gapless[:4] in (b"LAME", b"Lavc", b"Lavf") else b""
    )


def _shown(run: _Run) -> MpegStream:
    first = run.first
    if first.layer != 3:
        # The decoder stops where it guesses the end to be: a frame of silence behind lets it guess too far.
        silence = bytes([first.raw[0], first.raw[1] | 1, first.raw[2], first.raw[3]]).ljust(first.size, b"\0")
        return MpegStream((*run.stretches, silence), frames=run.count * first.samples)
    head = _header_frame(first, frames=run.count, gapless=run.info.gapless if run.info else b"")
    return MpegStream((head, *run.stretches))


def _header_frame(first: FrameHeader, *, frames: int, gapless: bytes = b"") -> bytes:
    unprotected = first.raw[1] | 1
    rate_only = _BITRATE_INDEX << 4 | first.raw[2] & 0b1100
    start = bytes([0xFF, unprotected, rate_only, first.raw[3]]) + bytes(first.side_info_bytes)
    header = start + b"Xing" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big") + gapless
    return header.ljust(first.frame_bytes(_BITRATE_INDEX, padding=0), b"\0")


def _wording(header: FrameHeader) -> str:
    channels = "1 channel" if header.is_mono else "2 channels"
    return f"MPEG layer {'I' * header.layer}, {header.sample_rate} Hz, {channels}"
