"""WAV, RF64, AIFF, W64, CAF, AU and others: how much sound their headers state, and how much there is.

Three sizes are compared: what the chunk of the sound states, what the file as a whole states, and the bytes there are.
Where all that is stated agrees and the file is shorter, the file is cut off. Where the header contradicts itself, holds
a placeholder of a writer that could not go back (a pipe), or leaves bytes behind the sound that no chunk explains, the
header lies: the sound is read to its end, and a note says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

from uss_ray.audio.blank import is_blank
from uss_ray.audio.inspection import Inspection, Kind, Stream
from uss_ray.audio.mpeg_audio import inspect_mpeg
from uss_ray.audio.splice import SeekableReader, SplicedFile, patched

ByteOrder = Literal["big", "little"]

# Writers to a pipe leave all ones, 2 GiB less a header, 0x7F000000, 1 GiB …: round numbers, give or take a header.
_PLACEHOLDER_FROM = 1 << 28
_PLACEHOLDER_GRAIN = 1 << 24
_PLACEHOLDER_MARGIN = 4096
_ALL_ONES = 0xFFFFFFFF
# An odd byte, or the header of the next chunk counted in.
_MISCOUNTED_BYTES = 8
# No honest file comes near it; it bounds the walk through a damaged one.
_MOST_CHUNKS = 4096
_MOST_HEADER_BYTES = 1 << 20
_KNOWN_CHUNKS = frozenset(
    [
        b"LIST",
        b"list",
        b"id3 ",
        b"ID3 ",
        b"bext",
        b"cue ",
        b"smpl",
        b"inst",
        b"iXML",
        b"_PMX",
        b"PEAK",
        b"fact",
        b"JUNK",
        b"junk",
        b"PAD ",
        b"FLLR",
        b"DISP",
        b"guan",
        b"ANNO",
        b"NAME",
        b"AUTH",
        b"(c) ",
        b"COMT",
        b"MARK",
        b"INST",
        b"APPL",
    ]
)
_NAME_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _-()[].")
_VOC_SOUND = (1, 2, 3, 9)  # sound, more of it, silence, sound of another kind
_SVX_BOTH = (6).to_bytes(4, "big")
_RIFFS = (b"RIFF", b"RF64", b"RIFX", b"BW64")
_WAVE = (b"WAVE",)
_FORM = (b"FORM",)
_AIFF = (b"AIFF", b"AIFC")
_MPEG_TAGS = (0x50, 0x55)
# Of `fmt `, those that libsndfile decodes; FFmpeg has the rest.
_SNDFILE_TAGS = frozenset([0x01, 0x02, 0x03, 0x06, 0x07, 0x11, 0x31, 0x38, 0x39, 0x3A, 0x40, 0x64, 0xFFFE])


@dataclass(frozen=True)
class _Chunk:
    chunk_id: bytes
    start: int
    body: int
    size: int
    stop: int


@dataclass(frozen=True)
class Settled:
    """How many bytes of sound there are."""

    size: int
    note: str | None = None
    fault: tuple[str, str] | None = None

    def inspection(
        self, streams: tuple[Stream, ...] = (), *, kind: Kind = "media", is_for_ffmpeg: bool = False
    ) -> Inspection:
        """Say it of a container that is read through some streams."""
        notes = (self.note,) if self.note else ()
        return Inspection(
            streams=streams, kind=kind, is_for_ffmpeg=is_for_ffmpeg, notes=notes, fault=self.fault
        )


def inspect_riff(file: SeekableReader, *, file_bytes: int, magic: bytes) -> Inspection:
    """Look into a WAV, RF64, BW64 or RIFX file."""
    order: ByteOrder = "big" if magic == b"RIFX" else "little"
    outer: int | None = int.from_bytes(read_at(file, 4, 4), order)
    form = long_size = None
    for chunk in _chunks(file, start=12, stop=file_bytes, order=order):
        if chunk.chunk_id == b"ds64":
            longs = read_at(file, chunk.body, 16)
            if outer == _ALL_ONES:
                outer = int.from_bytes(longs[:8], "little")
            long_size = int.from_bytes(longs[8:16], "little")
        elif chunk.chunk_id == b"fmt ":
            form = read_at(file, chunk.body, min(chunk.size, 40))
        elif chunk.chunk_id == b"data":
            break
    else:
        return Inspection()
    if form is None or len(form) < 14:
        return Inspection()
    tag, align = int.from_bytes(form[:2], order), int.from_bytes(form[12:14], order)
    stated = long_size if chunk.size == _ALL_ONES and long_size is not None else chunk.size
    settled = settle(
        stated,
        body=chunk.body,
        file_bytes=file_bytes,
        outer_stop=None if outer in (0, _ALL_ONES) or outer is None else outer + 8,
        is_explained=lambda stop: (
            _is_explained(file, stop, file_bytes=file_bytes, order=order)
            or _begins_another(file, stop, names=_RIFFS, kinds=_WAVE)
        ),
    )
    mpeg = _mpeg_within(file, tag, settled, body=chunk.body)
    if mpeg is not None:
        return mpeg
    if tag not in _SNDFILE_TAGS:
        return settled.inspection(is_for_ffmpeg=True)
    whole = settled.size - settled.size % max(1, align) if settled.note else settled.size
    if magic == b"BW64" and settled.note is None:
        return settled.inspection((Stream(patched({0: b"RF64"}, stop=file_bytes)),))
    if settled.note is None:
        more = _sound_behind(file, chunk, stated, file_bytes=file_bytes, order=order)
        return settled.inspection() if more is None or settled.fault is not None else more
    if whole + chunk.body > _ALL_ONES - 8 and order == "big":
        return Inspection(fault=("less than 4 GiB of sound in RIFX (convert it)", f"{whole} bytes"))
    head = _mended_riff(file, chunk, order=order, whole=whole, magic=magic)
    return settled.inspection((Stream((head, range(chunk.body, chunk.body + whole))),))


def _sound_behind(
    file: SeekableReader, data: _Chunk, stated: int, *, file_bytes: int, order: ByteOrder
) -> Inspection | None:
    """Look for more sound behind that of a WAV: another chunk of it, or other files; libsndfile reads one of them."""
    behind = data.body + stated
    behind += behind % 2
    look = partial(_inspect_wav_within, file)
    joined = _joined(file, look, _RIFFS, kinds=_WAVE, start=behind, file_bytes=file_bytes, order=order)
    if joined is not None:
        return joined
    chunks = _chunks(file, start=behind, stop=file_bytes, order=order)
    more = [
        chunk
        for chunk in chunks
        if chunk.chunk_id == b"data" and chunk.size and chunk.body + chunk.size <= file_bytes
    ]
    if not more:
        return None
    magic = b"RIFX" if order == "big" else b"RIFF"
    streams = tuple(
        Stream(
            (
                _mended_riff(file, data, order=order, whole=size, magic=magic),
                range(body, body + size),
            )
        )
        for body, size in [(data.body, stated), *((chunk.body, chunk.size) for chunk in more)]
    )
    return Inspection(
        streams=streams, notes=(f"{len(streams)} chunks of sound, one behind the other: all are read",)
    )


def _inspect_wav_within(file: SeekableReader, stretch: range) -> Inspection:
    magic = read_at(file, stretch.start, 4)
    return inspect_riff(SplicedFile(file, [stretch]), file_bytes=len(stretch), magic=magic)


def _inspect_aiff_within(file: SeekableReader, stretch: range) -> Inspection:
    return inspect_aiff(SplicedFile(file, [stretch]), file_bytes=len(stretch))


def _begins_another(file: SeekableReader, at: int, *, names: Sequence[bytes], kinds: Sequence[bytes]) -> bool:
    """Tell whether another file of a kind begins at an offset, or behind the padding there."""
    heads = [read_at(file, start, 12) for start in (at, at + at % 2)]
    return any(head[:4] in names and head[8:12] in kinds for head in heads)


def _joined(
    file: SeekableReader,
    look: Callable[[range], Inspection],
    names: Sequence[bytes],
    *,
    kinds: Sequence[bytes],
    start: int,
    file_bytes: int,
    order: ByteOrder,
) -> Inspection | None:
    """Look into files of a kind that stand one behind the other, the second of them not before `start`."""
    starts = [
        chunk.start
        for chunk in _chunks(file, start=start, stop=file_bytes, order=order)
        if chunk.chunk_id in names and read_at(file, chunk.body, 4) in kinds
    ]
    if not starts:
        return None
    streams: list[Stream] = []
    notes: list[str] = []
    fault = None
    for ends in pairwise([0, *starts, file_bytes]):
        stretch = range(*ends)
        found = look(stretch)
        streams += found.moved(stretch.start, file_bytes=stretch.stop).streams
        notes += found.notes
        fault = fault or found.fault
    return Inspection(streams=tuple(streams), notes=tuple(notes), fault=fault)


def _mpeg_within(file: SeekableReader, tag: int, settled: Settled, *, body: int) -> Inspection | None:
    """Look at the sound of a WAV or W64 as the MPEG audio that its format says it is."""
    if tag not in _MPEG_TAGS or settled.fault is not None:
        return None
    mpeg = inspect_mpeg(file, start=body, stop=body + settled.size)
    if mpeg is None:
        return None
    streams = tuple(Stream(stream.pieces, frames=stream.frames) for stream in mpeg.streams)
    notes = mpeg.notes + ((settled.note,) if settled.note else ())
    return Inspection(streams=streams, notes=notes, fault=mpeg.fault)


def _mended_riff(file: SeekableReader, data: _Chunk, *, order: ByteOrder, whole: int, magic: bytes) -> bytes:
    """Make a header that states the truth: the chunks before the sound, and its size in 32 or 64 bits."""
    kept = b""
    for chunk in _chunks(file, start=12, stop=data.start, order=order):
        if chunk.chunk_id not in (b"ds64", b"JUNK", b"junk") and len(kept) + chunk.size < _MOST_HEADER_BYTES:
            kept += read_at(file, chunk.start, chunk.stop - chunk.start)
    if len(kept) + whole + 36 < _ALL_ONES and magic in (b"RIFF", b"RIFX"):
        size = 4 + len(kept) + 8 + whole
        return magic + size.to_bytes(4, order) + b"WAVE" + kept + b"data" + whole.to_bytes(4, order)
    size = 4 + 36 + len(kept) + 8 + whole
    longs = size.to_bytes(8, "little") + whole.to_bytes(8, "little") + bytes(12)
    head = b"RF64" + b"\xff" * 4 + b"WAVEds64" + len(longs).to_bytes(4, "little") + longs
    return head + kept + b"data" + b"\xff" * 4


def inspect_aiff(file: SeekableReader, *, file_bytes: int) -> Inspection:
    """Look into an AIFF or AIFF-C file."""
    outer = int.from_bytes(read_at(file, 4, 4), "big")
    common: _Chunk | None = None
    sound: _Chunk | None = None
    for chunk in _chunks(file, start=12, stop=file_bytes, order="big"):
        common = chunk if chunk.chunk_id == b"COMM" else common
        sound = chunk if chunk.chunk_id == b"SSND" else sound
        if sound is not None and common is not None:
            break
    if sound is None:
        return Inspection()
    settled = settle(
        sound.size,
        body=sound.body,
        file_bytes=file_bytes,
        outer_stop=None if outer in (0, _ALL_ONES) else outer + 8,
        is_explained=lambda stop: (
            _is_explained(file, stop, file_bytes=file_bytes, order="big")
            or _begins_another(file, stop, names=_FORM, kinds=_AIFF)
        ),
        empty_size=8,
    )
    if settled.note is None and settled.fault is None:
        look = partial(_inspect_aiff_within, file)
        joined = _joined(file, look, _FORM, kinds=_AIFF, start=sound.stop, file_bytes=file_bytes, order="big")
        if joined is not None:
            return joined
    if settled.note is None or common is None or common.start > sound.start:
        return settled.inspection()
    facts = read_at(file, common.body, 18)
    align = int.from_bytes(facts[:2], "big") * ((int.from_bytes(facts[6:8], "big") + 7) // 8)
    frames = (settled.size - 8) // max(1, align)
    whole = 8 + frames * max(1, align)
    if whole + sound.body > _ALL_ONES - 8:
        return Inspection(fault=("less than 4 GiB of sound in AIFF (convert it)", f"{whole} bytes"))
    patches = {
        4: (sound.body + whole - 8).to_bytes(4, "big"),
        common.body + 2: frames.to_bytes(4, "big"),
        sound.start + 4: whole.to_bytes(4, "big"),
    }
    return settled.inspection((Stream(patched(patches, stop=sound.body + whole)),))


def inspect_svx(file: SeekableReader, *, file_bytes: int) -> Inspection:
    """Look into an Amiga 8SVX or 16SV file.

    Two channels lie one behind the other there, while libsndfile has them take turns, nor does it unpack samples.
    """
    outer = int.from_bytes(read_at(file, 4, 4), "big")
    is_packed = is_stereo = False
    for chunk in _chunks(file, start=12, stop=file_bytes, order="big"):
        if chunk.chunk_id == b"VHDR":
            is_packed = read_at(file, chunk.body + 15, 1) not in (b"", b"\0")
        elif chunk.chunk_id == b"CHAN":
            is_stereo = read_at(file, chunk.body, 4) == _SVX_BOTH
        elif chunk.chunk_id == b"BODY":
            settled = settle(
                chunk.size,
                body=chunk.body,
                file_bytes=file_bytes,
                outer_stop=None if outer in (0, _ALL_ONES) else outer + 8,
                is_explained=lambda stop: _is_explained(file, stop, file_bytes=file_bytes, order="big"),
            )
            patches = {
                4: (chunk.body + settled.size - 8).to_bytes(4, "big"),
                chunk.start + 4: settled.size.to_bytes(4, "big"),
            }
            # Without what comes behind, which libsndfile takes for sound.
            shown = (Stream(patched(patches, stop=chunk.body + settled.size)),)
            return settled.inspection(shown, is_for_ffmpeg=is_packed or is_stereo)
    return Inspection()


def inspect_w64(file: SeekableReader, *, file_bytes: int) -> Inspection:
    """Look into a Sony Wave64 file."""
    outer = int.from_bytes(read_at(file, 16, 8), "little")
    data, tag = None, 0
    for chunk in _w64_chunks(file, stop=file_bytes):
        if chunk.chunk_id == b"fmt ":
            tag = int.from_bytes(read_at(file, chunk.body, 2), "little")
        if chunk.chunk_id == b"data":
            data = chunk
            break
    if data is None:
        return Inspection()
    settled = settle(
        data.size,
        body=data.body,
        file_bytes=file_bytes,
        outer_stop=None if outer == 0 or outer >= 1 << 62 else outer,
        is_explained=lambda stop: (
            is_blank(file, -(-stop // 8) * 8, file_bytes=file_bytes)
            or any(_w64_chunks(file, stop=file_bytes, start=-(-stop // 8) * 8))
        ),
    )
    mpeg = _mpeg_within(file, tag, settled, body=data.body)
    if mpeg is not None:
        return mpeg
    if settled.note is None and data.body + settled.size + 8 > file_bytes:
        return settled.inspection()
    patches = {  # also without a note: zeros behind it libsndfile takes for sound
        16: (data.body + settled.size).to_bytes(8, "little"),
        data.start + 16: (settled.size + 24).to_bytes(8, "little"),
    }
    return settled.inspection((Stream(patched(patches, stop=data.body + settled.size)),))


def inspect_caf(file: SeekableReader, *, file_bytes: int) -> Inspection:
    """Look into a Core Audio file."""
    data = coding = None
    for chunk in _caf_chunks(file, start=8, stop=file_bytes):
        if chunk.chunk_id == b"desc":
            coding = read_at(file, chunk.body + 8, 4)
        if chunk.chunk_id == b"data":
            data = chunk
            break
    is_for_ffmpeg = coding not in (b"lpcm", b"alaw", b"ulaw", b"alac", None)
    if data is None:
        return Inspection(kind="CAF", is_for_ffmpeg=is_for_ffmpeg)
    if data.size == 2**64 - 1:  # the standard's way to leave it open
        size = file_bytes - data.body
        patches = {data.start + 4: size.to_bytes(8, "big")}
        streams = (Stream(patched(patches, stop=file_bytes)),)
        return Inspection(streams=streams, kind="CAF", is_for_ffmpeg=is_for_ffmpeg)
    settled = settle(
        data.size,
        body=data.body,
        file_bytes=file_bytes,
        outer_stop=None,
        is_explained=lambda stop: (
            is_blank(file, stop, file_bytes=file_bytes) or any(_caf_chunks(file, start=stop, stop=file_bytes))
        ),
        empty_size=4,
    )
    if settled.note is None:
        return settled.inspection(kind="CAF", is_for_ffmpeg=is_for_ffmpeg)
    patches = {data.start + 4: settled.size.to_bytes(8, "big")}
    stream = Stream(patched(patches, stop=data.body + settled.size))
    return settled.inspection((stream,), kind="CAF", is_for_ffmpeg=is_for_ffmpeg)


def inspect_au(head: bytes, *, file_bytes: int, byteorder: ByteOrder) -> Inspection:
    """Look into an AU file, of which the header is there."""
    body, stated = (int.from_bytes(head[at : at + 4], byteorder) for at in (4, 8))
    if stated == _ALL_ONES:  # the standard's way to leave it open
        return Inspection()
    settled = settle(
        stated,
        body=body,
        file_bytes=file_bytes,
        outer_stop=None,
        is_explained=lambda stop: stop + 8 > file_bytes,
    )
    if settled.note is None:
        return settled.inspection()
    size = settled.size if settled.size < _ALL_ONES else _ALL_ONES
    return settled.inspection((Stream(patched({8: size.to_bytes(4, byteorder)}, stop=body + settled.size)),))


def inspect_nist(file: SeekableReader, *, file_bytes: int) -> Inspection:
    """Look into a NIST SPHERE file, whose header is text; libsndfile reads to the end of any file."""
    words = read_at(file, 0, 16).split()
    body = int(words[1]) if len(words) > 1 and words[1].isdigit() else 1024
    lines = read_at(file, 16, min(body, _MOST_HEADER_BYTES)).partition(b"end_head")[0].split(b"\n")
    facts = {line.split()[0]: line.split()[-1] for line in lines if line.strip()}
    if facts.get(b"sample_coding", b"pcm") not in (b"pcm", b"ulaw", b"mu-law", b"alaw"):
        return Inspection()
    counts = [facts.get(name, b"1") for name in (b"sample_count", b"channel_count", b"sample_n_bytes")]
    if b"sample_count" not in facts or not all(count.isdigit() for count in counts):
        return Inspection()
    settled = settle(
        math.prod(map(int, counts)),
        body=body,
        file_bytes=file_bytes,
        outer_stop=None,
        is_explained=lambda stop: is_blank(file, stop, file_bytes=file_bytes),
    )
    return settled.inspection((Stream((range(body + settled.size),)),))


def inspect_voc(file: SeekableReader, *, file_bytes: int) -> Inspection:
    """Look into a Creative voice file: blocks of sound, silence and text; libsndfile knows the first of sound."""
    at = int.from_bytes(read_at(file, 20, 2), "little")
    sounds: list[_Chunk] = []
    for _ in range(_MOST_CHUNKS):
        head = read_at(file, at, 4)
        if len(head) < 4 or not head[0]:
            break
        size = int.from_bytes(head[1:], "little")
        if head[0] in _VOC_SOUND:
            sounds.append(_Chunk(head[:1], at, at + 4, size, at + 4 + size))
        at += 4 + size
    if not sounds:
        return Inspection()
    last = sounds[-1]
    settled = settle(
        last.size,
        body=last.body,
        file_bytes=file_bytes,
        outer_stop=None,
        is_explained=lambda _: at + 1 >= file_bytes or read_at(file, at, 1) == b"\0",
    )
    stop = last.body + settled.size + 1  # with the mark of the end
    return settled.inspection((Stream((range(min(stop, file_bytes)),)),), is_for_ffmpeg=len(sounds) > 1)


def settle(
    stated: int,
    *,
    body: int,
    file_bytes: int,
    outer_stop: int | None,
    is_explained: Callable[[int], bool],
    empty_size: int = 0,
) -> Settled:
    """Find how many bytes of sound there are.

    Parameters
    ----------
    stated : int
        Bytes that the chunk of the sound states.
    body : int
        Where it begins.
    file_bytes : int
        Size of the file.
    outer_stop : int or None
        Where the file as a whole says that it ends; None where it leaves that open.
    is_explained : callable
        Tells whether what comes behind an offset is no sound.
    empty_size : int, default=0
        What the chunk states when it holds no sample.
    """
    there = max(0, file_bytes - body)
    said = f"the header states {stated} bytes of audio, there are {there}: read to the end"
    if stated <= there:
        if there - stated <= _ALL_ONES and is_explained(body + stated):
            return Settled(stated)
        return Settled(there, note=said) if there > empty_size else Settled(stated)
    if there <= empty_size:
        return Settled(stated, fault=(f"{stated} bytes of audio", f"{there} bytes, the rest is cut off"))
    stated_stop, excess = body + stated, stated - there
    is_miscounted = excess <= _MISCOUNTED_BYTES or excess in (body, body - 8)
    is_contradicted = outer_stop is not None and (
        abs(outer_stop - file_bytes) <= _MISCOUNTED_BYTES
        or (outer_stop < file_bytes and outer_stop + _MISCOUNTED_BYTES < stated_stop)
    )
    if is_miscounted or is_contradicted or _is_placeholder(stated):
        return Settled(there, note=said)
    return Settled(stated, fault=(f"{stated} bytes of audio", f"{there} bytes, the rest is cut off"))


def _is_placeholder(stated: int) -> bool:
    if stated < _PLACEHOLDER_FROM:
        return False
    if stated >= 1 << 62:
        return True
    off = (stated + _PLACEHOLDER_MARGIN) % _PLACEHOLDER_GRAIN
    return off <= 2 * _PLACEHOLDER_MARGIN


def _is_explained(file: SeekableReader, stop: int, *, file_bytes: int, order: ByteOrder) -> bool:
    """Tell whether what lies behind the sound are chunks, tags or padding."""
    return any(_walks_to_end(file, at, file_bytes=file_bytes, order=order) for at in {stop + stop % 2, stop})


def _walks_to_end(file: SeekableReader, at: int, *, file_bytes: int, order: ByteOrder) -> bool:
    for chunk in _chunks(file, start=at, stop=file_bytes, order=order):
        is_known = chunk.chunk_id in _KNOWN_CHUNKS
        is_named = is_known or (
            all(byte in _NAME_BYTES for byte in chunk.chunk_id)
            and any(chunk.chunk_id)
            and chunk.stop <= file_bytes + 1
        )
        if not is_named or chunk.chunk_id[:1] == b"\0":
            return is_blank(file, chunk.start, file_bytes=file_bytes)
        if is_known and chunk.stop > file_bytes:
            return True
        at = chunk.stop
    return is_blank(file, at, file_bytes=file_bytes)


def _chunks(file: SeekableReader, *, start: int, stop: int, order: ByteOrder) -> Iterator[_Chunk]:
    at = start
    for _ in range(_MOST_CHUNKS):
        if at + 8 > stop:
            return
        head = read_at(file, at, 8)
        size = int.from_bytes(head[4:], order)
        end = at + 8 + size + size % 2
        yield _Chunk(head[:4], at, at + 8, size, end)
        at = end


def _w64_chunks(file: SeekableReader, *, stop: int, start: int = 40) -> Iterator[_Chunk]:
    at = start
    for _ in range(_MOST_CHUNKS):
        if at + 24 > stop:
            return
        head = read_at(file, at, 24)
        size = int.from_bytes(head[16:], "little")
        if size < 24 and start != 40:
            return
        end = at + max(24, -(-size // 8) * 8)
        if start != 40 and end > stop + 8:
            return
        yield _Chunk(head[:4], at, at + 24, max(0, size - 24), end)
        at = end


def _caf_chunks(file: SeekableReader, *, start: int, stop: int) -> Iterator[_Chunk]:
    at = start
    for _ in range(_MOST_CHUNKS):
        if at + 12 > stop:
            return
        head = read_at(file, at, 12)
        size = int.from_bytes(head[4:], "big")
        if start != 8 and (at + 12 + size > stop or not all(byte in _NAME_BYTES for byte in head[:4])):
            return
        yield _Chunk(head[:4], at, at + 12, size, at + 12 + size)
        at += 12 + size


def read_at(file: SeekableReader, offset: int, count: int) -> bytes:
    """Read bytes of a file; fewer at its end."""
    file.seek(offset)
    return file.read(count)
