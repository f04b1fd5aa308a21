"""The checksum of a file that somebody else reads, without reading it twice."""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO

_BLOCK_BYTES = 1 << 20
_LITTLE_BYTES = 8 << 20
"""That much more is read in any case: a request to an object store, and a tag or picture behind the sound."""


class DigestingFile:
    """Pass reads on to a binary file, and digest what is read as far as it comes in one piece from the start.

    Decoders read a header, may look at the end, and then go through; what they leave out is read when the checksum is
    asked for. So a file that is decoded whole is read once.

    Parameters
    ----------
    file : binary file
        Seekable, at its start; opened and closed by the caller.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._digested = 0
        self._position = 0
        self._read_bytes = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move."""
        self._position = self._file.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        """Tell the position."""
        return self._position

    def read(self, count: int = -1, /) -> bytes:
        """Read, and digest what is new."""
        data = self._file.read(count)
        start, self._position = self._position, self._position + len(data)
        self._read_bytes += len(data)
        if start <= self._digested < self._position:
            self._digest.update(memoryview(data)[self._digested - start :])
            self._digested = self._position
        return data

    def sha256(self) -> str | None:
        """Give the checksum of the whole file; call it once, when it has been read.

        Returns
        -------
        str or None
            None where most of the file was never read, such as the pictures of a film, and so the checksum would cost
            more than the reading did; or where the rest cannot be read.
        """
        try:
            left = self._file.seek(0, os.SEEK_END) - self._digested
            if left > max(self._read_bytes, _LITTLE_BYTES):
                return None
            self._file.seek(self._digested)
            while block := self._file.read(_BLOCK_BYTES):
                self._digest.update(block)
        except OSError:
            return None
        return self._digest.hexdigest()
