"""The file object that stands between libsndfile and the real file, so that no fault gets lost.

libsndfile reads and writes through callbacks that cannot raise; what goes wrong inside them it takes for the end of
the file. The bridge keeps the first fault for the caller to ask after.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol, TypeVar

from uss_ray.audio.splice import SeekableReader

_T = TypeVar("_T")


class SeekableWriter(SeekableReader, Protocol):
    """The part of a binary file that encoding needs."""

    def write(self, data: bytes, /) -> int:
        """Write bytes and return how many."""


class FaultKeepingFile:
    """Pass reads on to a binary file and keep the first exception instead of raising it.

    Parameters
    ----------
    file : binary file
        Seekable; opened and closed by the caller.

    Attributes
    ----------
    fault : Exception or None
        The first exception the file raised.
    """

    def __init__(self, file: SeekableReader) -> None:
        self.fault: Exception | None = None
        self._file = file

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move; -1 after a fault."""
        return self._guarded(lambda: self._file.seek(offset, whence), instead=-1)

    def tell(self) -> int:
        """Tell the position; -1 after a fault."""
        return self._guarded(lambda: self._file.tell(), instead=-1)

    def read(self, count: int, /) -> bytes:
        """Read up to `count` bytes; none after a fault."""
        return self._guarded(lambda: self._file.read(count), instead=b"")

    def _guarded(self, action: Callable[[], _T], *, instead: _T) -> _T:
        try:
            return action()
        except Exception as fault:  # noqa: BLE001 - whatever a store's client raises, C code must not see it
            self.fault = self.fault or _without_frames(fault)
            return instead


def _without_frames(fault: Exception) -> Exception:
    """Forget where a fault came from: its frames would keep alive what a C library has to free before Python ends."""
    left: list[BaseException] = [fault]
    seen: set[int] = set()
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            left += [other for other in (one.__cause__, one.__context__) if other is not None]
    return fault


class FaultKeepingSink(FaultKeepingFile):
    """Pass writes on as well, and none after the first fault.

    Parameters
    ----------
    file : binary file
        Seekable and writable; opened and closed by the caller.
    """

    def __init__(self, file: SeekableWriter) -> None:
        super().__init__(file)
        self._sink = file

    def write(self, data: bytes) -> int:
        """Write all of `data`; 0 bytes after a fault."""
        if self.fault is not None:
            return 0
        return self._guarded(lambda: self._sink.write(data), instead=0)
