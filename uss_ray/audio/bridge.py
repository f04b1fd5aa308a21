"""The file object that stands between libsndfile and the real file, so that no fault gets lost.

libsndfile reads and writes through callbacks that cannot raise; what goes wrong inside them it takes for the end of
the file. The bridge keeps the first fault for the caller to ask after, and can show patched bytes of a header.
"""

from __future__ import annotations

import os
from typing import BinaryIO


class FaultKeepingFile:
    """Pass calls on to a binary file and keep the first exception instead of raising it.

    Parameters
    ----------
    file : binary file
        Seekable; opened and closed by the caller.
    patch : tuple of (int, bytes), optional
        Offset and bytes that reads see in place of the file's own.

    Attributes
    ----------
    fault : Exception or None
        The first exception the file raised.
    """

    def __init__(self, file: BinaryIO, *, patch: tuple[int, bytes] | None = None) -> None:
        self.fault: Exception | None = None
        self._file = file
        self._patch = patch

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; -1 after a fault."""
        try:
            return self._file.seek(offset, whence)
        except Exception as fault:
            return self._keep(fault, instead=-1)

    def tell(self) -> int:
        """Tell the position; -1 after a fault."""
        try:
            return self._file.tell()
        except Exception as fault:
            return self._keep(fault, instead=-1)

    def read(self, count: int) -> bytes:
        """Read up to `count` bytes; none after a fault."""
        try:
            at = self._file.tell() if self._patch else 0
            data = self._file.read(count)
        except Exception as fault:
            self._keep(fault, instead=0)
            return b""
        return self._patched(data, at=at)

    def write(self, data: bytes) -> int:
        """Write all of `data`; 0 bytes after a fault."""
        if self.fault is not None:
            return 0
        try:
            return self._file.write(data)
        except Exception as fault:
            return self._keep(fault, instead=0)

    def flush(self) -> None:
        """Flush what is buffered."""
        try:
            self._file.flush()
        except Exception as fault:
            self._keep(fault, instead=0)

    def _keep(self, fault: Exception, *, instead: int) -> int:
        self.fault = self.fault or fault
        return instead

    def _patched(self, data: bytes, *, at: int) -> bytes:
        if self._patch is None:
            return data
        patch_at, patch = self._patch
        first, last = max(at, patch_at), min(at + len(data), patch_at + len(patch))
        if first >= last:
            return data
        return data[: first - at] + patch[first - patch_at : last - patch_at] + data[last - at :]
