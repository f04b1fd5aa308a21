"""Functions on locations; going away, `Store` takes their place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from uss_ray.errors import OutputError, RecordingError, UssRayError
from uss_ray.store.store import Location, Store
from uss_ray.store.systems import file_system

__all__ = ["Location", "file_system"]


@dataclass(frozen=True, slots=True)
class FoundFile:
    location: str
    size_bytes: int | None


def is_remote(location: Location) -> bool:
    return Store(location).is_remote


def join(base: Location, *names: str) -> str:
    place = Store(base)
    for name in names:
        place /= name
    return str(place)


def relative(location: Location, *, base: Location) -> str:
    return Store(location).relative_to(Store(base))


def exists(location: Location, *, error: type[UssRayError] = RecordingError) -> bool:
    return Store(location, None, error).exists()


def size(location: Location, *, error: type[UssRayError] = RecordingError) -> int:
    return Store(location, None, error).size()


def open_binary(location: Location, *, error: type[UssRayError] = RecordingError) -> BinaryIO:
    return Store(location, None, error).open()


def read_bytes(location: Location, *, error: type[UssRayError] = RecordingError) -> bytes:
    return Store(location, None, error).read()


def write_bytes(data: bytes, location: Location) -> None:
    Store(location, None, OutputError).put(data)


def put_file(local_path: Location, location: Location) -> None:
    Store(location, None, OutputError).put(Path(os.fspath(local_path).removeprefix("file://")))


def remove(location: Location) -> None:
    Store(location, None, OutputError).remove()


def list_recursive(prefix: Location, *, error: type[UssRayError] = RecordingError) -> Iterator[str]:
    for found in list_files(prefix, error=error):
        yield found.location


def list_files(prefix: Location, *, error: type[UssRayError] = RecordingError) -> Iterator[FoundFile]:
    for found in Store(prefix, None, error).files():
        yield FoundFile(found.place.root, found.size_bytes)
