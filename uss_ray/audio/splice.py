"""A read-only view of a file with some of its bytes replaced, for headers that mislead the decoder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol


class SeekableReader(Protocol):
    """The part of a binary file that decoding needs."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to an offset and return the new position."""

    def tell(self) -> int:
        """Tell the position."""

    def read(self, count: int, /) -> bytes:
        """Read up to `count` bytes."""


@dataclass(frozen=True)
class Splice:
    """What to show in place of some of a file's bytes.

    Attributes
    ----------
    at : int
        Offset of the first replaced byte.
    dropped_bytes : int
        How many of the file's bytes are hidden from there.
    shown : bytes
        What is shown instead; may be longer or shorter.
    """

    at: int
    dropped_bytes: int
    shown: bytes


class SplicedFile:
    """Read a file as if a splice had been made in it.

    Parameters
    ----------
    file : binary file
        Seekable; opened and closed by the caller.
    splice : Splice
        What to show differently.
    """

    def __init__(self, file: SeekableReader, splice: Splice) -> None:
        self._file = file
        self._splice = splice
        self._shown_end = splice.at + len(splice.shown)
        self._shift_bytes = len(splice.shown) - splice.dropped_bytes
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to an offset of the spliced file and return the new position."""
        if whence == os.SEEK_CUR:
            offset += self._at
        elif whence == os.SEEK_END:
            offset += self._file.seek(0, os.SEEK_END) + self._shift_bytes
        self._at = offset
        return offset

    def tell(self) -> int:
        """Tell the position in the spliced file."""
        return self._at

    def read(self, count: int, /) -> bytes:
        """Read up to `count` bytes, fewer only at the end."""
        parts = []
        while count > 0 and (part := self._read_part(count)):
            parts.append(part)
            self._at += len(part)
            count -= len(part)
        return b"".join(parts)

    def _read_part(self, count: int) -> bytes:
        if self._splice.at <= self._at < self._shown_end:
            start = self._at - self._splice.at
            return self._splice.shown[start : start + count]
        if self._at < self._splice.at:
            self._file.seek(self._at)
            return self._file.read(min(count, self._splice.at - self._at))
        self._file.seek(self._at - self._shift_bytes)
        return self._file.read(count)
