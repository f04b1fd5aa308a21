"""A read-only view of a file, put together from stretches of it and other bytes: for headers that mislead decoders."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Protocol

Piece = bytes | range
"""Bytes to show, or offsets of the file whose bytes are shown (a range of step 1)."""


class SeekableReader(Protocol):
    """The part of a binary file that decoding needs."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to an offset and return the new position."""

    def tell(self) -> int:
        """Tell the position."""

    def read(self, count: int, /) -> bytes:
        """Read up to `count` bytes."""


def patched(patches: Mapping[int, bytes], *, stop: int, start: int = 0) -> tuple[Piece, ...]:
    """Show a stretch of a file with some of its bytes replaced by as many others.

    Parameters
    ----------
    patches : mapping of int to bytes
        New bytes by the offset of the first one they replace; they do not overlap.
    stop, start : int
        The stretch.

    Returns
    -------
    tuple of Piece

    Examples
    --------
    >>> patched({4: b"ab"}, stop=9)
    (range(0, 4), b'ab', range(6, 9))
    """
    pieces: list[Piece] = []
    for at in sorted(patches):
        pieces += [range(start, at), patches[at]]
        start = at + len(patches[at])
    pieces.append(range(start, stop))
    return tuple(piece for piece in pieces if len(piece))


def moved(pieces: Iterable[Piece], *, by: int) -> tuple[Piece, ...]:
    """Let the stretches lie so many bytes further behind in the file."""
    return tuple(
        piece if isinstance(piece, bytes) else range(piece.start + by, piece.stop + by) for piece in pieces
    )


class SplicedFile:
    """Read pieces as if they were one file.

    Parameters
    ----------
    file : binary file
        Seekable; opened and closed by the caller.
    pieces : iterable of Piece
        In order.

    Notes
    -----
    Seeking before the start is refused with -1, as C libraries expect it, and leaves the file alone.
    """

    def __init__(self, file: SeekableReader, pieces: Iterable[Piece]) -> None:
        self._file = file
        self._pieces = tuple(pieces)
        self._starts = list(accumulate((len(piece) for piece in self._pieces), initial=0))
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to an offset of what is shown and return the new position."""
        if whence == os.SEEK_CUR:
            offset += self._at
        elif whence == os.SEEK_END:
            offset += self._starts[-1]
        if offset < 0:
            return -1
        self._at = offset
        return offset

    def tell(self) -> int:
        """Tell the position in what is shown."""
        return self._at

    def read(self, count: int, /) -> bytes:
        """Read up to `count` bytes, fewer only at the end."""
        parts = []
        while count > 0 and (part := self._read_part(count)):
            parts.append(part)
            self._at += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_part(self, count: int) -> bytes:
        if self._at >= self._starts[-1]:
            return b""
        place = bisect_right(self._starts, self._at) - 1
        piece, offset = self._pieces[place], self._at - self._starts[place]
        if isinstance(piece, bytes):
            return piece[offset : offset + count]
        self._file.seek(piece.start + offset)
        return self._file.read(min(count, len(piece) - offset))
