"""Formats of samplers, small computers and number crunchers whose header is one record that states a length.

libsndfile, and FFmpeg the one of SoX, read all of them to wherever the file ends. IRCAM, PAF and PVF state none: what
is cut there passes as whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from uss_ray.audio.blank import is_blank
from uss_ray.audio.chunked import read_at, settle
from uss_ray.audio.inspection import Inspection, Stream
from uss_ray.audio.splice import SeekableReader

_HEAD_BYTES = 352
_MAT4_WIDTHS = (8, 4, 4, 2)  # doubles, floats, integers of 32 and 16 bits
_SDS_PACKET_BYTES = 127
_MAT5_MATRIX = 14


class _Stated(NamedTuple):
    """Where sound begins, and how many bytes of it a header states; `is_packed`, if these are more than the sound."""

    body: int
    size: int
    is_packed: bool = False


def inspect_stated(file: SeekableReader, *, file_bytes: int) -> Inspection | None:
    """Look into a file of such a format; None for any other, and where no length is stated.

    Parameters
    ----------
    file : binary file
        Seekable; its position afterwards is undefined.
    file_bytes : int
        Its size.
    """
    head = read_at(file, 0, _HEAD_BYTES)
    for magic, look in _FORMATS:
        if head.startswith(magic):
            stated = look(head, file_bytes)
            break
    else:
        stated = _mat4(head)
    if stated is None or stated.size <= 0:
        return None
    settled = settle(
        stated.size,
        body=stated.body,
        file_bytes=file_bytes,
        outer_stop=None,
        is_explained=lambda stop: stated.is_packed or is_blank(file, stop, file_bytes=file_bytes),
    )
    return settled.inspection((Stream((range(min(stated.body + settled.size, file_bytes)),)),))


def _avr(head: bytes, file_bytes: int) -> _Stated:
    channels = 2 if _big(head, 12, 2) else 1
    width = -(-_big(head, 14, 2) // 8)
    size = _big(head, 26, 4) * width
    # Of two channels some programs count the samples, others the moments.
    return _Stated(128, size if size == file_bytes - 128 else size * channels)


def _wve(head: bytes, _: int) -> _Stated:
    return _Stated(32, _big(head, 18, 4))


def _mpc2k(head: bytes, _: int) -> _Stated | None:
    if len(head) < 42:
        return None
    return _Stated(42, _little(head, 30, 4) * 2 * (2 if head[21] else 1))


def _sds(head: bytes, _: int) -> _Stated | None:
    if len(head) < 21 or head[3] != 1:
        return None
    bits, samples = head[6], head[10] | head[11] << 7 | head[12] << 14
    a_packet = 60 if bits <= 14 else 40 if bits <= 21 else 30
    return _Stated(21, -(-samples // a_packet) * _SDS_PACKET_BYTES, is_packed=True)


def _xi(head: bytes, _: int) -> _Stated | None:
    is_single = _little(head, 296, 2) == 1
    return _Stated(338, _little(head, 298, 4)) if is_single else None


def _sox(head: bytes, _: int) -> _Stated:
    number = _little if head[:4] == b".SoX" else _big
    return _Stated(4 + number(head, 4, 4), 4 * number(head, 8, 8))


def _mat5(head: bytes, _: int) -> _Stated | None:
    number = _little if head[126:128] == b"IM" else _big
    at = 128 + 8 + number(head, 132, 4)
    if number(head, 128, 4) != _MAT5_MATRIX or number(head, at, 4) != _MAT5_MATRIX:
        return None
    at += 8
    for _ in range(3):  # flags, dimensions and name lie before the samples
        at += 8 + -(-number(head, at + 4, 4) // 8) * 8
    return _Stated(at + 8, number(head, at + 4, 4), is_packed=True) if at + 8 <= len(head) else None


def _mat4(head: bytes) -> _Stated | None:
    if head[20:31] != b"samplerate\0":
        return None
    number = _big if head[:4] == b"\0\0\x03\xe8" else _little
    kind, rows, columns, imaginary, name_bytes = (number(head, at, 4) for at in range(39, 59, 4))
    width = kind % 100 // 10
    if width >= len(_MAT4_WIDTHS) or imaginary:
        return None
    return _Stated(59 + name_bytes, rows * columns * _MAT4_WIDTHS[width])


def _big(head: bytes, at: int, count: int) -> int:
    return int.from_bytes(head[at : at + count], "big")


def _little(head: bytes, at: int, count: int) -> int:
    return int.from_bytes(head[at : at + count], "little")


_FORMATS: tuple[tuple[bytes, Callable[[bytes, int], _Stated | None]], ...] = (
    (b"2BIT", _avr),
    (b"ALawSoundFile**", _wve),
    (b"\x01\x04", _mpc2k),
    (b"\xf0\x7e", _sds),
    (b"Extended Instrument: ", _xi),
    (b".SoX", _sox),
    (b"XoS.", _sox),
    (b"MATLAB 5.0 MAT-file", _mat5),
)
