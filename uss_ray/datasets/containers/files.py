"""Clips as one file each, in a folder or under a prefix, however nested.

Only locations come out, so that listing is one cheap stream and the files are opened where they are decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio, ClipPlace, Wanted, clip_name, wants
from uss_ray.store.store import Store


@dataclass(frozen=True)
class FilesReader:
    """Lists ``[Y]<clip_id>.<suffix>`` files.

    Parameters
    ----------
    place : Store
        Folder or prefix, or a single file.
    follow_links : bool, default=True
        Follow links that lead out of the folder.
    """

    place: Store
    follow_links: bool = True

    def places(self) -> Iterator[ClipPlace | BrokenContainer]:
        """List the clips in the order of their names; what cannot be listed, such as a link in a circle, is broken."""
        odd: list[BrokenContainer] = []

        def tell(entry: str, why: str) -> None:
            odd.append(BrokenContainer(str(self.place / entry), f"left out of the listing: {why}"))

        for file in self.place.files(follow_links=self.follow_links, tell=tell):
            yield from odd
            odd.clear()
            name = clip_name(str(file.place))
            if name is not None:
                yield ClipPlace(name, str(file.place), file.content_tag)
        yield from odd

    def __call__(self, *, wanted: Wanted | None = None) -> Iterator[ClipAudio | BrokenContainer]:
        """List the wanted clips; their audio is the file at their location."""
        for place in self.places():
            if isinstance(place, BrokenContainer):
                yield place
            elif wants(wanted, place.name):
                yield ClipAudio(place.name, place.location, content_tag=place.content_tag)
