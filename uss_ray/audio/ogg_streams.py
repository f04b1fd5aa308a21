"""What an Ogg file holds: one stream, several one behind the other, or several side by side.

libsndfile decodes the first stream, of Vorbis or Opus, and takes the rate that an Opus header notes for the rate of the
sound. No audio is decoded here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from uss_ray.audio.capacity import OPUS_RATES
from uss_ray.audio.inspection import Inspection, Stream
from uss_ray.audio.ogg import CHECKSUM, page_checksum
from uss_ray.audio.splice import Piece, SeekableReader, SplicedFile, patched

_MAX_PAGE_BYTES = 65307
_HEADER_BYTES = 27
_GRANULE = 6
_BEGIN_OF_STREAM = 2
_END_OF_STREAM = 4
_FULL_RATE = 48000
# The rate that a packet's first byte asks for, by its upper five bits (RFC 6716, table 2).
_BANDWIDTHS = (8000,) * 4 + (12000,) * 4 + (16000,) * 4 + (24000,) * 2 + (48000,) * 2
_CELT_BANDWIDTHS = (8000,) * 4 + (16000,) * 4 + (24000,) * 4 + (48000,) * 4
_OPUS_PROBE_PAGES = 64
# The transform coder knows no 12 kHz.
_WIDEST_FOR = {12000: 16000}


@dataclass(frozen=True)
class _Page:
    start: int
    stop: int
    flags: int
    serial: bytes
    lacing: bytes
    header_bytes: int


def inspect_ogg(file: SeekableReader, *, file_bytes: int) -> Inspection:
    """Find out where the last page is, and whether it ends the first stream.

    Returns
    -------
    Inspection
        A fault where the file ends within a page; a note where it ends with a whole page that does not say that it is
        the last one, as streams do that were recorded off the air.
    """
    last = _last_page(file, file_bytes=file_bytes)
    first = _page_at(file, 0)
    if last is None or first is None or last.stop > file_bytes:
        return Inspection(fault=("an end-of-stream page", f"a stream cut off after {file_bytes} bytes"))
    if not last.flags & _END_OF_STREAM:
        if last.stop != file_bytes:
            return Inspection(fault=("an end-of-stream page", f"a stream cut off after {file_bytes} bytes"))
        return _inspect_open(file, last)
    return _inspect_whole(file, first, last, file_bytes=file_bytes)


def last_granule(file: SeekableReader, *, file_bytes: int) -> int | None:
    """Read at how many samples a file's one stream ends, by its last page; None where there are several streams."""
    first, last = _page_at(file, 0), _last_page(file, file_bytes=file_bytes)
    if first is None or last is None or first.serial != last.serial or _begins_another(file, first):
        return None
    file.seek(last.start + _GRANULE)
    granule = int.from_bytes(file.read(8), "little", signed=True)
    return granule if granule > 0 else None


def _inspect_open(file: SeekableReader, last: _Page) -> Inspection:
    """Show a file as if its last page said that it is; a decoder needs that to end at the right sample."""
    page = _changed(file, last, at=5, to=bytes([last.flags | _END_OF_STREAM]))
    ended = patched({last.start: page}, stop=last.stop)
    view = SplicedFile(file, ended)
    first = _page_at(view, 0)
    assert first is not None
    found = _inspect_whole(
        view, first, replace(last, flags=last.flags | _END_OF_STREAM), file_bytes=last.stop
    )
    streams = tuple(
        Stream(tuple(_within(stream.pieces, page=page, start=last.start))) for stream in found.streams
    )
    note = "no page says that it is the last: read to the end of the file"
    return replace(found, streams=streams or (Stream(ended),), notes=(note,))


def _within(pieces: tuple[Piece, ...], *, page: bytes, start: int) -> Iterator[Piece]:
    """Put a changed last page into the pieces that show it."""
    for piece in pieces:
        if isinstance(piece, range) and piece.start <= start < piece.stop:
            yield from patched({start: page}, start=piece.start, stop=piece.stop)
        else:
            yield piece


def _inspect_whole(file: SeekableReader, first: _Page, last: _Page, *, file_bytes: int) -> Inspection:
    if last.serial == first.serial and not _begins_another(file, first):
        pieces = _sndfile_pieces(file, first, stop=last.stop)
        if pieces is None:
            return Inspection(streams=(Stream((range(last.stop),)),), is_for_ffmpeg=True)
        is_as_it_is = pieces == (range(file_bytes),)
        return Inspection(streams=() if is_as_it_is else (Stream(pieces),))
    links = _links(file, stop=last.stop)
    streams = []
    for start, stop, heads in links:
        pieces = _sndfile_pieces(file, heads[0], stop=stop) if len(heads) == 1 else None
        if pieces is None:
            return Inspection(streams=(Stream((range(last.stop),)),), is_for_ffmpeg=True)
        if start and isinstance(pieces[0], range):
            pieces = (range(start, pieces[0].stop), *pieces[1:])
        streams.append(Stream(pieces))
    return Inspection(streams=tuple(streams))


def _begins_another(file: SeekableReader, first: _Page) -> bool:
    second = _page_at(file, first.stop)
    return second is not None and bool(second.flags & _BEGIN_OF_STREAM)


def _sndfile_pieces(file: SeekableReader, head: _Page, *, stop: int) -> tuple[Piece, ...] | None:
    """Show one stream from its first page on; None if it holds what libsndfile does not decode."""
    file.seek(head.start)
    page = file.read(head.stop - head.start)
    body = page[head.header_bytes :]
    if body.startswith(b"\x01vorbis"):
        return (range(head.start, stop),)
    if not body.startswith(b"OpusHead"):
        return None
    stated = int.from_bytes(body[12:16], "little")
    if stated in OPUS_RATES and _opus_bandwidth(file, head.stop) <= _WIDEST_FOR.get(stated, stated):
        return (range(head.start, stop),)
    if stated > _FULL_RATE or 24000 < stated < _FULL_RATE:
        return (range(head.start, stop),)  # libsndfile decodes these at the full rate
    changed = _changed(file, head, at=head.header_bytes + 12, to=_FULL_RATE.to_bytes(4, "little"))
    return patched({head.start: changed}, start=head.start, stop=stop)


def _changed(file: SeekableReader, page: _Page, *, at: int, to: bytes) -> bytes:
    """Give a page with other bytes at a place in it, and the checksum that belongs to them."""
    file.seek(page.start)
    changed = bytearray(file.read(page.stop - page.start))
    changed[at : at + len(to)] = to
    changed[CHECKSUM] = bytes(4)
    changed[CHECKSUM] = page_checksum(bytes(changed)).to_bytes(4, "little")
    return bytes(changed)


def _opus_bandwidth(file: SeekableReader, at: int) -> int:
    """Find the highest rate that the first packets are coded for."""
    highest = 0
    for number, page in enumerate(_pages(file, at)):
        if number == 0:  # comments
            continue
        if number > _OPUS_PROBE_PAGES:
            break
        file.seek(page.start + page.header_bytes)
        body = file.read(page.stop - page.start - page.header_bytes)
        place, is_start = 0, not page.flags & 1
        for size in page.lacing:
            if is_start and size:
                config = body[place] >> 3 if place < len(body) else 0
                highest = max(highest, _BANDWIDTHS[config] if config < 16 else _CELT_BANDWIDTHS[config - 16])
            place += size
            is_start = size < 255
    return highest


def _links(file: SeekableReader, *, stop: int) -> list[tuple[int, int, list[_Page]]]:
    """Find the stretches that begin with first pages: start, stop, and these pages."""
    links: list[tuple[int, list[_Page]]] = []
    was_first = False
    for page in _pages(file, 0):
        is_first = bool(page.flags & _BEGIN_OF_STREAM)
        if is_first and not was_first:
            links.append((page.start, []))
        if is_first and links:
            links[-1][1].append(page)
        was_first = is_first
    stops = [start for start, _ in links[1:]] + [stop]
    return [(start, end, heads) for (start, heads), end in zip(links, stops, strict=True)]


def _pages(file: SeekableReader, at: int) -> Iterator[_Page]:
    while (page := _page_at(file, at)) is not None:
        yield page
        at = page.stop


def _page_at(file: SeekableReader, at: int) -> _Page | None:
    file.seek(at)
    header = file.read(_HEADER_BYTES + 255)
    if len(header) < _HEADER_BYTES or header[:5] != b"OggS\0" or header[5] > 7:
        return None
    lacing = header[_HEADER_BYTES : _HEADER_BYTES + header[26]]
    header_bytes = _HEADER_BYTES + header[26]
    if len(lacing) < header[26]:
        return _Page(at, at + header_bytes + 1, header[5], header[14:18], lacing, header_bytes)
    return _Page(at, at + header_bytes + sum(lacing), header[5], header[14:18], lacing, header_bytes)


def _last_page(file: SeekableReader, *, file_bytes: int) -> _Page | None:
    """Find the last page, whatever is behind it."""
    stop = file_bytes
    while stop > 0:
        start = max(0, stop - 2 * _MAX_PAGE_BYTES)
        file.seek(start)
        window = file.read(stop - start + 3)
        at = window.rfind(b"OggS")
        while at >= 0:
            # Coded audio may hold these four bytes by chance, but hardly the version and flags of a page behind them.
            page = _page_at(file, start + at)
            if page is not None:
                return page
            at = window.rfind(b"OggS", 0, at)
        stop = start
    return None
