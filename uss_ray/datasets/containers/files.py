"""Clips as one file each, in a folder or under a prefix, however nested.

Only locations come out, so that listing is one cheap stream and the files are opened where they are decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio, ClipPlace, Wanted, clip_name, wants
from uss_ray.errors import DataError, RecordingError
from uss_ray.store import uri


@dataclass(frozen=True)
class FilesReader:
    """Lists ``[Y]<clip_id>.<suffix>`` files.

    Parameters
    ----------
    location : str
        Folder or prefix, or a single file.
    """

    location: str

    def places(self) -> Iterator[ClipPlace | BrokenContainer]:
        """List the clips in the order of their names."""
        for path in list_files(self.location):
            name = clip_name(path)
            if name is not None:
                yield ClipPlace(name, path)

    def __call__(self, *, wanted: Wanted | None = None) -> Iterator[ClipAudio | BrokenContainer]:
        """List the wanted clips; their audio is the file at their location."""
        for place in self.places():
            if isinstance(place, BrokenContainer):
                yield place
            elif wants(wanted, place.name):
                yield ClipAudio(place.name, place.location)


def list_files(location: str) -> Iterator[str]:
    """List every file of a data set.

    Raises
    ------
    DataError
        If there is nothing of that name, or the store cannot list.
    """
    try:
        yield from uri.list_recursive(location)
    except RecordingError as error:
        raise DataError(error.item, expected=error.expected, found=error.found) from (
            error.__cause__ or error
        )
