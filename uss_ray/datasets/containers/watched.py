"""Tells content that is broken from a file that could not be read: the libraries between report both alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from uss_ray.audio.bridge import FaultKeepingFile
from uss_ray.errors import DataError
from uss_ray.store.store import Store


class BrokenContentError(Exception):
    """What is wrong with the content of a container; never leaves its reader."""


class WatchedFile(FaultKeepingFile):
    """A file as h5py, pyarrow and tarfile read it, which keeps the first fault of the store.

    An exception must not pass through h5py, which would crash on closing.
    """

    closed = False

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def read(self, count: int = -1, /) -> bytes:
        """Read up to `count` bytes; none after a fault."""
        return super().read(count)

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; what cannot be filled is a fault, as h5py would hand out what was in it before."""
        data = self.read(len(buffer))
        if len(data) < len(buffer):
            self.fault = self.fault or EOFError(f"{len(data)} of {len(buffer)} bytes")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def open_watched(place: Store, *, content_faults: tuple[type[Exception], ...]) -> Iterator[WatchedFile]:
    """Open a container for the code in the `with` block, whose errors are sorted.

    Parameters
    ----------
    place : Store
    content_faults : tuple of exception types
        What the library that reads the container raises.

    Yields
    ------
    WatchedFile
        Seekable.

    Raises
    ------
    DataError
        If the file is missing or a read failed; `__cause__` is the store's fault.
    BrokenContentError
        If the library failed on bytes that were read well.
    """
    with place.open() as source:
        file = WatchedFile(source)
        try:
            yield file
        except content_faults as error:
            raise_fault(file, place)
            raise BrokenContentError(" ".join(str(error).split()) or type(error).__name__) from error
        raise_fault(file, place)


def raise_fault(file: WatchedFile, place: Store) -> None:
    """Raise what went wrong with the file, if anything did.

    Raises
    ------
    DataError
        With the store's fault as `__cause__`.
    """
    if file.fault is not None:
        raise DataError(str(place), expected="readable bytes", found=str(file.fault)) from file.fault
