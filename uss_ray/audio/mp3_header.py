"""The length header that an MP3 of variable bit rate needs and some lack; no audio is decoded.

Without a Xing, Info or VBRI header libsndfile guesses the length from the first frame's bit rate and stops there,
too early or expecting too much. A header of "endless" put in front makes it play to the end of the file.
"""

from __future__ import annotations

from typing import NamedTuple

from uss_ray.audio.splice import SeekableReader, Splice

_ENDLESS_FRAMES = 0x7FFFFFFF
_LENGTH_HEADERS = (b"Xing", b"Info", b"VBRI")
# Any that makes the frame long enough for the header, whatever the version and rate.
_BITRATE_INDEX = 9
_KBITS_MPEG1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_MPEG1 = (44100, 48000, 32000)


class _FrameHeader(NamedTuple):
    raw: bytes
    is_mpeg1: bool
    sample_rate: int
    is_mono: bool

    @property
    def side_info_bytes(self) -> int:
        """Bytes between the frame header and a length header."""
        if self.is_mpeg1:
            return 17 if self.is_mono else 32
        return 9 if self.is_mono else 17

    def frame_bytes(self, bitrate_index: int, *, padding: int) -> int:
        """Size of a frame of so many bits a second."""
        kbits = (_KBITS_MPEG1 if self.is_mpeg1 else _KBITS_MPEG2)[bitrate_index]
        return (144000 if self.is_mpeg1 else 72000) * kbits // self.sample_rate + padding


def endless_header(file: SeekableReader) -> Splice | None:
    """Make the length header that an MP3 lacks.

    Parameters
    ----------
    file : binary file
        Seekable; its position afterwards is undefined.

    Returns
    -------
    Splice or None
        A header frame in place of the tags before the first frame; None when the file has one, or is no MP3.

    Notes
    -----
    Frame layout: ISO/IEC 11172-3 and 13818-3, layer III; the header is the one Xing's encoder introduced.
    """
    start = _after_tags(file)
    file.seek(start)
    first = _parse(file.read(4))
    if first is None:
        return None
    body = file.read(60)
    if any(name in body for name in _LENGTH_HEADERS):
        return None
    file.seek(start + first.frame_bytes(first.raw[2] >> 4, padding=first.raw[2] >> 1 & 1))
    second = _parse(file.read(4))
    if second is None or second[1:3] != first[1:3]:
        return None
    return Splice(at=0, dropped_bytes=start, shown=_header_frame(first))


def _header_frame(first: _FrameHeader) -> bytes:
    unprotected = first.raw[1] | 1
    rate_only = _BITRATE_INDEX << 4 | first.raw[2] & 0b1100
    start = bytes([0xFF, unprotected, rate_only, first.raw[3]]) + bytes(first.side_info_bytes)
    header = start + b"Xing" + (1).to_bytes(4, "big") + _ENDLESS_FRAMES.to_bytes(4, "big")
    return header.ljust(first.frame_bytes(_BITRATE_INDEX, padding=0), b"\0")


def _after_tags(file: SeekableReader) -> int:
    at = 0
    while True:
        file.seek(at)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3":
            return at
        has_footer = tag[5] >> 4 & 1
        size = 0
        for byte in tag[6:]:
            size = size << 7 | byte & 0x7F
        at += 10 + 10 * has_footer + size


def _parse(raw: bytes) -> _FrameHeader | None:
    if len(raw) < 4 or raw[0] != 0xFF or raw[1] & 0xE6 != 0xE2:
        return None
    version, bitrate_index, rate_index = raw[1] >> 3 & 3, raw[2] >> 4, raw[2] >> 2 & 3
    if version == 1 or bitrate_index in (0, 15) or rate_index == 3:
        return None
    divisor = {3: 1, 2: 2, 0: 4}[version]
    return _FrameHeader(raw, version == 3, _RATES_MPEG1[rate_index] // divisor, raw[3] >> 6 == 3)
