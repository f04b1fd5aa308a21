"""What a program may take away: what it wrote itself, which the forms of names tell, and nothing else.

People keep files of theirs beside results, and in folders that are called as a job's by chance. So nothing here removes
a folder for its name alone: what lies in it goes name by name, and what has another form stays, with the folder.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from uss_ray.errors import OutputError, UssRayError
from uss_ray.parallel import map_stream
from uss_ray.store.store import HALF_WRITTEN, FoundFile, Store
from uss_ray.store.walk import TellOdd

_REMOVALS_AT_ONCE = 16
_TABLE = ".parquet"
_OF_A_DESKTOP = re.compile(r"(?i)\.DS_Store|\._.+|Thumbs\.db|desktop\.ini")
"""What file managers leave in any folder that somebody looks into."""

IsOwn = Callable[[str], object]


@dataclass(frozen=True)
class Owned:
    """What a job writes below its output root that counts as results.

    Parameters
    ----------
    folders : mapping of str to Pattern
        Folders below the root, and the form of the names of its files in each, relative to that. In this order they go.
    files : tuple of str, default=()
        Right below the root: they tell that the rest is whole, and go first.
    """

    folders: Mapping[str, re.Pattern[str]]
    files: tuple[str, ...] = field(default=())

    def has(self, name: str) -> bool:
        """Tell whether a name, relative to the root, is of the form of its own."""
        top, _, rest = name.partition("/")
        return name in self.files or (top in self.folders and is_of_form(rest, self.folders[top].fullmatch))

    def foreign(self, output: Store) -> str | None:
        """Name a file in its folders that is none of its own, relative to the root; what file managers leave is none.

        Raises
        ------
        OutputError
            If a folder cannot be listed.
        """
        names = (name for folder in self.folders for name in _names_in(output, folder))
        return next(
            (
                name
                for name in names
                if not (self.has(name) or _OF_A_DESKTOP.fullmatch(name.rpartition("/")[2]))
            ),
            None,
        )

    def foreign_table(self, output: Store) -> str | None:
        """Name a table in its folders that `remove` leaves, relative to the root.

        Who reads results takes every table there for some, whatever its name, and by links, too.

        Raises
        ------
        OutputError
            If a folder cannot be listed.
        """
        names = (
            file.place.relative_to(output)
            for folder in self.folders
            for file in _files_in(output, folder, follow_links=True, with_hidden=False)
        )
        return next((name for name in names if name.endswith(_TABLE) and not self.has(name)), None)

    def remove(self, output: Store) -> None:
        """Let nothing of it count any more; of links that are called as its own the links go.

        Raises
        ------
        OutputError
            If something cannot be removed.
        """
        for name in self.files:
            (output / name).remove()
        for folder, own in self.folders.items():
            remove_folder(output, folder, is_own=own.fullmatch)


def is_of_form(name: str, is_own: IsOwn) -> bool:
    """Tell whether a file is one's own, or what a killed process has left half-written of one."""
    return bool(is_own(name)) or HALF_WRITTEN.fullmatch(name.rpartition("/")[2]) is not None


def anything(name: str) -> bool:  # noqa: ARG001
    """Take all for one's own: in a folder to which nobody else writes, such as one of a service's own store."""
    return True


def remove_folder(output: Store, name: str, *, is_own: IsOwn) -> None:
    """Remove what is one's own of a folder below the output root, and the folder if nothing else is in it.

    Of a link that is one's own the link goes, never what it leads to.

    Parameters
    ----------
    output : Store
        Output root.
    name : str
        Relative to it; one that is not there is no fault, nor is somebody else who removes it, too.
    is_own : callable
        Tells by its name, relative to the folder, whether a file is one's own.

    Raises
    ------
    OutputError
        If it is a link, which may lead to others' files, cannot be listed, or a file not be removed.
    """
    if not output.is_remote and (output.local_path() / name).is_symlink():
        raise OutputError(str(output / name), expected="a folder that can be removed", found="a link")
    files = [below for below in _names_in(output, name) if is_of_form(below.removeprefix(f"{name}/"), is_own)]
    deque(map_stream(lambda file: (output / file).remove(), files, threads=_REMOVALS_AT_ONCE), maxlen=0)
    if not output.is_remote:
        folder = output.local_path() / name
        _remove_empty(Path(path) for path, _, _ in os.walk(folder))


def remove_empty_folders(output: Store, names: Iterable[str]) -> None:
    """Remove the local folders below the output root in which files that are gone were the last.

    Parameters
    ----------
    output : Store
        Output root; an object store has no folders.
    names : iterable of str
        Of the files, relative to the root.
    """
    if not output.is_remote:
        root = output.local_path()
        _remove_empty(
            {folder for name in names for folder in (root / name).parents if root in folder.parents}
        )


def _names_in(output: Store, folder: str) -> list[str]:
    """List files and links of a folder, relative to the output root, and nothing behind a link to a folder."""
    links: set[str] = set()
    if not output.is_remote:
        root = output.local_path()
        for above, below, _ in os.walk(root / folder):
            links |= {
                (Path(above) / name).relative_to(root).as_posix()
                for name in below
                if os.path.islink(f"{above}/{name}")
            }

    def tell(name: str, _why: str) -> None:
        # `walk` passes over links that lead out.
        if os.path.islink(output.local_path() / folder / name):
            links.add(f"{folder}/{name}")

    files = _files_in(output, folder, follow_links=False, with_hidden=True, tell=tell)
    names = [file.place.relative_to(output) for file in files]
    behind = tuple(f"{link}/" for link in links)
    return [*(name for name in names if not name.startswith(behind)), *sorted(links)]


def _files_in(
    output: Store,
    folder: str,
    *,
    follow_links: bool,
    with_hidden: bool,
    tell: TellOdd = lambda _name, _why: None,
) -> list[FoundFile]:
    """List the files of a folder below the output root; none where there is no folder."""
    place = output.raising(OutputError) / folder
    if not place.exists():
        return []
    try:
        found = place.files(follow_links=follow_links, with_hidden=with_hidden, tell=tell)
        return [file for file in found if file.place != place]
    except UssRayError:
        if place.is_gone():  # somebody else has removed it
            return []
        raise


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        with suppress(OSError):  # holds something
            folder.rmdir()
