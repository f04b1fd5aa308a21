"""Every file below a local folder, whatever else lies there: what may not be listed is told, and ends nothing."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from uss_ray.store.faults import is_infrastructure, wording

logger = logging.getLogger(__name__)

TellOdd = Callable[[str, str], None]
"""Told the name of an entry, relative to the folder, and why it is left out."""

_LOOP = "a link to a folder that it lies in"
_LEADS_OUT = "a link that leads out"
_OF_THE_DISK = "lost+found"  # at the root of a disk, for its own repair; nobody else may read it
NO_TEXT = "a name that is not UTF-8"


def log_odd(name: str, why: str) -> None:
    """Warn of an entry that is left out."""
    logger.warning("%s: left out of the listing: %s", name, why)


class Unlisted(NamedTuple):
    """An entry that was left out of a listing.

    Attributes
    ----------
    told : str
        Its name, and why.
    is_lost : bool
        Whether what it holds was meant, and nobody will come by it elsewhere.
    """

    told: str
    is_lost: bool


def holds_what_is_lost(name: str, why: str) -> bool:
    """Tell whether an entry that is left out may hold what is listed nowhere else.

    Parameters
    ----------
    name, why : str
        As they are told. Links lead to what is listed where it lies, or out, where it is not asked for.
    """
    is_link = why == _LOOP or why.startswith(_LEADS_OUT)
    return not is_link and os.path.basename(name) != _OF_THE_DISK


def walk(
    folder: Path,
    *,
    follow_links: bool = True,
    with_hidden: bool = False,
    after: str = "",
    tell: TellOdd = log_odd,
) -> Iterator[tuple[str, int | None]]:
    """List every file below a folder, in the order of their names' code points.

    Parameters
    ----------
    folder : Path
    follow_links : bool, default=True
        Follow links that lead out of it; those within are followed in any case.
    with_hidden : bool, default=False
        List names with a dot in front as well.
    after : str, default=""
        List only what comes after this name, relative to the folder; what is passed over is not asked for its size.
    tell : callable, optional
        Told of folders that may not be read, links in a circle or out of the folder, and names in no encoding; by
        default the log is.

    Yields
    ------
    (str, int or None)
        Path and size; None of what cannot be asked, such as a link that leads nowhere. Pipes, sockets and devices are
        listed as well: whoever opens one is refused.

    Raises
    ------
    OSError
        If the folder itself cannot be read, or one below it for a fault of the disk.
    """
    top = os.path.realpath(folder)
    above = os.path.join(folder, "")
    # Not recursive: folders may lie deeper in each other than Python may call.
    waiting = [_Level(iter(_entries(str(folder))), top)]
    inside = {top}
    while waiting:
        entry = next(waiting[-1].entries, None)
        if entry is None:
            inside.discard(waiting.pop().real)
            continue
        name, path, is_link, is_folder = entry
        if name.startswith(".") and not with_hidden:
            continue
        try:
            real = os.path.realpath(path) if is_link else f"{waiting[-1].real}/{name}"
        except OSError as fault:  # a link on the way that this user may not read
            tell(os.path.relpath(path, folder), wording(fault))
            continue
        if not _is_text(name):
            tell(os.path.relpath(path, folder), NO_TEXT)
        elif is_link and not follow_links and not _is_within(real, top):
            tell(
                os.path.relpath(path, folder),
                f"{_LEADS_OUT}, to {real} (`archive --follow-links` follows it)",
            )
        elif not is_folder:
            if not after or path.removeprefix(above) > after:
                yield path, _size(path)
        elif real in inside:
            tell(os.path.relpath(path, folder), _LOOP)
        else:
            try:
                waiting.append(_Level(iter(_entries(path)), real))
                inside.add(real)
            except OSError as fault:
                if is_infrastructure(fault):  # it may be there the next time, with all that lies in it
                    raise
                tell(os.path.relpath(path, folder), wording(fault))


def refuse_irregular(path: str) -> None:
    """Refuse what would block or never end: a pipe, a socket, a device.

    Raises
    ------
    OSError
        If it is one of these, or cannot be asked.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return
    kinds = {
        stat.S_IFIFO: "a pipe (FIFO; `uss-ray separate -` reads one)",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    raise OSError(0, f"{kinds.get(stat.S_IFMT(mode), 'something else')}, no regular file")


class _Level:
    """A folder that is being read."""

    __slots__ = ("entries", "real")

    def __init__(self, entries: Iterator[tuple[str, str, bool, bool]], real: str) -> None:
        self.entries = entries
        self.real = real


def _entries(folder: str) -> list[tuple[str, str, bool, bool]]:
    """Read a folder: name, path, whether a link, whether a folder; sorted as if a folder's slash were of its name."""
    with os.scandir(folder) as scan:
        found = [(entry.name, entry.path, entry.is_symlink(), _is_folder(entry)) for entry in scan]
    return sorted(found, key=lambda entry: entry[0] + "/" * entry[3])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; it is found out where it is opened
        return False


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_within(real: str, top: str) -> bool:
    return real == top or real.startswith(top.rstrip("/") + "/")


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:  # a link that leads nowhere is found out where it is opened
        return None
