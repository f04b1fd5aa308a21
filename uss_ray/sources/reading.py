"""A recording that lies in a store, opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from uss_ray.audio.codec import RecordingReader, open_recording
from uss_ray.store.digest import DigestingFile
from uss_ray.store.store import Store


@contextmanager
def open_stored_recording(place: Store) -> Iterator[RecordingReader]:
    """Open a recording where it lies; it is read as its blocks are asked for.

    Raises
    ------
    UssRayError
        Of the store's kind if it is missing or cannot be read, `RecordingError` if it is no audio.
    """
    with place.open() as file, open_recording(file, name=str(place)) as reader:
        yield reader


@contextmanager
def open_digested_recording(
    place: Store, *, strict: bool = False
) -> Iterator[tuple[RecordingReader, DigestingFile]]:
    """Open a recording that is decoded whole, and the file that knows its checksum then; as `open_recording`."""
    with place.open() as file, digested_recording(file, name=str(place), strict=strict) as opened:
        yield opened


@contextmanager
def digested_recording(
    file: BinaryIO, *, name: str, strict: bool = False
) -> Iterator[tuple[RecordingReader, DigestingFile]]:
    """Do the same with a file that is open."""
    digesting = DigestingFile(file)
    with open_recording(cast(BinaryIO, digesting), name=name, strict=strict) as reader:
        yield reader, digesting
