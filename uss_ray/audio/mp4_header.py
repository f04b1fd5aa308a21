"""Which part of the sound of an MP4 file is its recording; no audio is decoded.

An AAC encoder puts a lead-in of some thousand samples before the recording and fills up its last packet. How much of
what a decoder gives is the recording stands in the edit list, or in a note of iTunes.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from uss_ray.audio.splice import SeekableReader

_NO_MEDIA = -1  # the start of an edit that shows nothing for a while
_NORMAL_RATE = (1, 0)
_MOST_EDITS = 1000
_MOST_TABLE_BYTES = 1 << 24
_MOST_TICKS = 1 << 31  # of a packet; writers put negative numbers there
_UNKNOWN = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_ITUNES_NOTE = re.compile(
    rb"iTunSMPB.{4}data.{8} [0-9A-F]{8} ([0-9A-F]{8}) [0-9A-F]{8} ([0-9A-F]{16})", re.DOTALL
)


class Box(NamedTuple):
    """A box of an MP4 file.

    Attributes
    ----------
    kind : bytes
        Four letters.
    start, stop : int
        Offsets of its body; `stop` may lie behind the end of the file.
    """

    kind: bytes
    start: int
    stop: int


class RecordedSpans(NamedTuple):
    """What of a decoded sound track is the recording.

    Attributes
    ----------
    timescale : int
        Ticks a second; the sample rate in most files, half of it for HE-AAC.
    spans : list of (int, int or None)
        Start and stop in ticks from the first sample that a decoder gives, in order, without overlaps. The last stop
        is None where only the end of the file tells it (fragments).
    """

    timescale: int
    spans: list[tuple[int, int | None]]


class _SoundTrack(NamedTuple):
    """What the headers of a track say; `packed` are the ticks of its packets and of the longest of them, if known."""

    timescale: int
    stated: int
    packed: tuple[int, int] | None
    edits: list[tuple[int, int]]

    @property
    def is_misstated(self) -> bool:
        """Whether header and packets differ by more than a padded last packet explains."""
        return self.packed is not None and abs(self.stated - self.packed[0]) > self.packed[1]

    @property
    def ticks(self) -> int:
        return self.packed[0] if self.packed is not None and self.is_misstated else self.stated


def is_mp4(file: SeekableReader) -> bool:
    """Tell by its first box whether a file is an MP4 (`.m4a`, `.mp4`, `.mov`, `.3gp`); old QuickTime has no `ftyp`."""
    return _read(file, 4, 4) in _FIRST_BOXES


def boxes(file: SeekableReader, *, start: int = 0, stop: int | None = None) -> Iterator[Box]:
    """Walk the boxes that lie beside one another.

    Parameters
    ----------
    file : binary file
        Seekable; its position afterwards is undefined.
    start, stop : int, optional
        Where they lie; None goes to the end of the file.

    Yields
    ------
    Box
        In their order; none behind one that is no box.
    """
    stop = file.seek(0, os.SEEK_END) if stop is None else stop
    while start + 8 <= stop:
        head = _read(file, start, 16)
        size, header_bytes = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, header_bytes = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:
            size = stop - start
        if size < header_bytes:
            return
        yield Box(head[4:8], start + header_bytes, start + size)
        start += size


def recorded_spans(file: SeekableReader) -> RecordedSpans:
    """Find what of the first sound track is the recording.

    Parameters
    ----------
    file : binary file
        A complete MP4; its position afterwards is undefined.

    Returns
    -------
    RecordedSpans
        Empty edits, which delay the sound behind a picture, are left out.

    Raises
    ------
    ValueError
        If the edit list goes back in time or changes the speed, or there is no sound track; in one line.

    Notes
    -----
    The track ends where its header says, or with its packets (8.6.1.2) where that is more than one of them elsewhere.

    ISO/IEC 14496-12, 8.6.6. Lengths of edits are in ticks of the movie, often milliseconds: one that ends where the
    track does, as far as these can tell, ends with the track.
    """
    movie = _find(file, b"moov")
    header = None if movie is None else _find(file, b"mvhd", inside=movie)
    track = None if movie is None else _sound_track(file, movie)
    if movie is None or header is None or track is None:
        raise ValueError("a file without a sound track")
    end = None if _find(file, b"mvex", inside=movie) else track.ticks
    spans = list(_edit_spans(track, movie_tick=Fraction(track.timescale, _times(file, header)[0]), end=end))
    if not track.edits:
        spans = [_itunes_span(file, movie) or (0, end)]
    if any(stop is None or start < stop for (_, stop), (start, _) in pairwise(spans)):
        raise ValueError("an edit list that goes back in time")
    return RecordedSpans(track.timescale, spans)


def length_note(file: SeekableReader) -> str | None:
    """Say where the header of the first sound track does not agree with its packets, by which it is read then.

    Parameters
    ----------
    file : binary file
        A complete MP4; its position afterwards is undefined.

    Returns
    -------
    str or None
        One line; None also where `recorded_spans` has something to object to.
    """
    movie = _find(file, b"moov")
    try:
        track = None if movie is None else _sound_track(file, movie)
    except ValueError:
        return None
    if track is None or track.packed is None or not track.is_misstated or track.stated in _UNKNOWN:
        return None
    stated, packed = (ticks / track.timescale for ticks in (track.stated, track.packed[0]))
    return f"the header of the sound track says {stated:.3f} s, its packets last {packed:.3f} s"


def _edit_spans(
    track: _SoundTrack, *, movie_tick: Fraction, end: int | None
) -> Iterator[tuple[int, int | None]]:
    for length, start in track.edits:
        stop = start + length * movie_tick
        goes_to_end = length == 0 if end is None else stop > end - movie_tick
        yield start, end if goes_to_end else round(stop)


def _sound_track(file: SeekableReader, movie: Box) -> _SoundTrack | None:
    for track in boxes(file, start=movie.start, stop=movie.stop):
        media = _find(file, b"mdia", inside=track) if track.kind == b"trak" else None
        handler = None if media is None else _find(file, b"hdlr", inside=media)
        header = None if media is None else _find(file, b"mdhd", inside=media)
        if handler is None or header is None or _read(file, handler.start + 8, 4) != b"soun":
            continue
        edits = _find(file, b"edts", inside=track)
        listed = None if edits is None else _find(file, b"elst", inside=edits)
        timescale, stated = _times(file, header)
        packed = _packed_ticks(file, media)
        return _SoundTrack(timescale, stated, packed, [] if listed is None else list(_edits(file, listed)))
    return None


def _packed_ticks(file: SeekableReader, media: Box | None) -> tuple[int, int] | None:
    """Add up how long the packets are; None where there are none, or another table counts others."""
    table: Box | None = media
    for kind in (b"minf", b"stbl"):
        table = None if table is None else _find(file, kind, inside=table)
    times = None if table is None else _find(file, b"stts", inside=table)
    sizes = table and (_find(file, b"stsz", inside=table) or _find(file, b"stz2", inside=table))
    if times is None or sizes is None or times.stop - times.start > _MOST_TABLE_BYTES:
        return None
    body = _read(file, times.start, times.stop - times.start)
    entry = struct.Struct(">II")
    stop = 8 + entry.size * int.from_bytes(body[4:8], "big")
    if stop > len(body):
        return None
    packets = total = longest = 0
    for count, ticks in entry.iter_unpack(body[8:stop]):
        packets, total, longest = packets + count, total + count * ticks, max(longest, ticks)
    if not total or longest >= _MOST_TICKS:
        return None
    return (total, longest) if packets == int.from_bytes(_read(file, sizes.start + 8, 4), "big") else None


def _times(file: SeekableReader, header: Box) -> tuple[int, int]:
    """Read ticks a second and ticks in all of a movie's or a track's header."""
    body = _read(file, header.start, 32).ljust(32, b"\0")
    timescale, ticks = struct.unpack_from(">IQ", body, 20) if body[0] else struct.unpack_from(">II", body, 12)
    if timescale == 0:
        raise ValueError("a header without a time scale")
    return timescale, ticks


def _edits(file: SeekableReader, listed: Box) -> Iterator[tuple[int, int]]:
    """Read length, in ticks of the movie, and start, in ticks of the track, of the edits that show sound."""
    body = _read(file, listed.start, min(listed.stop - listed.start, 8 + 20 * _MOST_EDITS))
    entry = struct.Struct(">QqHH" if body[:1] == b"\1" else ">IiHH")
    count = int.from_bytes(body[4:8], "big")
    if count > _MOST_EDITS or 8 + count * entry.size > len(body):
        raise ValueError(f"an edit list of {count} edits in {len(body)} bytes")
    for length, start, *speed in entry.iter_unpack(body[8 : 8 + count * entry.size]):
        if start == _NO_MEDIA:
            continue
        if tuple(speed) != _NORMAL_RATE or start < 0:
            raise ValueError("an edit list that changes the speed")
        yield length, start


def _itunes_span(file: SeekableReader, movie: Box) -> tuple[int, int] | None:
    notes: Box | None = movie
    for kind in (b"udta", b"meta", b"ilst"):
        notes = (
            None if notes is None else _find(file, kind, inside=notes, skip=4 if notes.kind == b"meta" else 0)
        )
    if notes is None:
        return None
    for note in boxes(file, start=notes.start, stop=notes.stop):
        found = _ITUNES_NOTE.search(_read(file, note.start, 256)) if note.kind == b"----" else None
        if found:
            lead_in, length = (int(digits, 16) for digits in found.groups())
            return lead_in, lead_in + length
    return None


def _find(file: SeekableReader, kind: bytes, *, inside: Box | None = None, skip: int = 0) -> Box | None:
    start, stop = (0, None) if inside is None else (inside.start + skip, inside.stop)
    return next((box for box in boxes(file, start=start, stop=stop) if box.kind == kind), None)


def _read(file: SeekableReader, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)
