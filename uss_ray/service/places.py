"""Which places a client may name: below a prefix of its token, by whole segments, and written in one way only."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from uss_ray.service.problems import Refusal

_MOST_LETTERS = 1000
_SEGMENT_BYTES = 200
_NAME_BYTES = 800  # S3 takes keys of 1024, with what lies before the name
_URI = re.compile(r"([a-z][a-z0-9+.-]*)://([^/]+)(/.*)?")
# Other spellings of a separator or of a step up, of what chains file systems, and of what is no name.
_ODD = re.compile(r"%(2e|2f|5c|00)|[\x00-\x1f\x7f\\?#*\[\]{}]|::", re.IGNORECASE)
_REFUSED_SCHEMES = {"http", "https", "file", "local", "ftp", "data"}


class Place(NamedTuple):
    """A place by its parts.

    Attributes
    ----------
    root : str
        Scheme and bucket; empty for a path of this machine.
    segments : tuple of str
    """

    root: str
    segments: tuple[str, ...]

    def is_below(self, other: Place) -> bool:
        """Tell whether it is the other, or lies in it."""
        return self.root == other.root and self.segments[: len(other.segments)] == other.segments

    def __str__(self) -> str:
        path = "/".join(self.segments)
        return f"{self.root}/{path}" if self.root else f"/{path}"


def place_of(location: str, *, item: str) -> Place:
    """Take a URI or an absolute path apart.

    Raises
    ------
    Refusal
        If it is neither, or could be read in several ways.
    """
    found = _URI.fullmatch(location)
    root, path = (f"{found[1]}://{found[2]}", found[3] or "") if found else ("", location)
    segments = path.removeprefix("/").removesuffix("/").split("/") if path.strip("/") else []
    is_odd = (
        len(location) > _MOST_LETTERS
        or _ODD.search(location) is not None
        or any(segment in ("", ".", "..") for segment in segments)
        or (found is not None and re.search("[@:]", found[2]) is not None)
        or (found is None and not location.startswith("/"))
    )
    if is_odd:
        raise Refusal(
            item,
            expected="a URI such as s3://bucket/folder/name, without user, query and steps up",
            found=location[:100],
            status=422,
        )
    return Place(root, tuple(segments))


def name_of(said: str, *, item: str) -> str:
    """Give a name that a client chooses, with folders or without, in the one way that it is written.

    Raises
    ------
    Refusal
        If it could be read in several ways, leads elsewhere, or is hidden.

    Examples
    --------
    >>> name_of("dawn/a.wav", item="name")
    'dawn/a.wav'
    """
    name = unicodedata.normalize("NFC", said)
    is_odd = (
        len(name.encode(errors="replace")) > _NAME_BYTES
        or _ODD.search(name) is not None
        or any(
            segment.startswith(".")
            or segment != segment.strip()
            or not 0 < len(segment.encode(errors="replace")) <= _SEGMENT_BYTES
            for segment in name.split("/")
        )
    )
    if is_odd:
        raise Refusal(
            item,
            expected=f"a name such as dawn/a.wav, up to {_NAME_BYTES} bytes, each part up to {_SEGMENT_BYTES}, not "
            "hidden, without steps up",
            found=said[:100],
            status=422,
        )
    return name


def allowed_place(location: str, *, prefixes: Sequence[str], item: str, closed: Sequence[str] = ()) -> str:
    """Give the place that a client names, in the one way that it is written.

    Parameters
    ----------
    location : str
    prefixes : sequence of str
        Folders and URIs of the token.
    item : str
        What errors call it.
    closed : sequence of str
        What the service keeps, of all tenants: no place holds it, or lies in it, but below a prefix that lies in it.

    Raises
    ------
    Refusal
        If it is no place, or lies below none of the prefixes; also by a link of a folder of this machine.

    Examples
    --------
    >>> allowed_place("s3://archive/birds/a.wav", prefixes=["s3://archive/birds/"], item="input")
    's3://archive/birds/a.wav'
    """
    place = place_of(location, item=item)
    scheme = place.root.partition(":")[0]
    allowed = [place_of(prefix, item="prefix") for prefix in prefixes]
    is_allowed = scheme not in _REFUSED_SCHEMES and any(place.is_below(prefix) for prefix in allowed)
    if is_allowed:
        is_allowed = _is_open(_real(place, item=item), allowed=allowed, closed=closed)
    if not is_allowed:
        raise Refusal(item, expected="a place below a prefix of the token", found=location[:100], status=403)
    return str(place)


def check_opened(file: BinaryIO, *, prefixes: Sequence[str], item: str, closed: Sequence[str] = ()) -> None:
    """Refuse an open file of this machine that is none which `allowed_place` gives: a link was changed after it.

    Parameters
    ----------
    file : binary file
        Open; what its name leads to by now does not matter any more.
    prefixes, item, closed
        As of `allowed_place`.

    Raises
    ------
    Refusal
        If it lies elsewhere.
    """
    real = os.readlink(f"/proc/self/fd/{file.fileno()}")
    allowed = [place_of(prefix, item="prefix") for prefix in prefixes]
    if not _is_open(Place("", tuple(real.split("/")[1:])), allowed=allowed, closed=closed):
        raise Refusal(
            item, expected="a place below a prefix of the token", found="a link out of it", status=403
        )


def check_apart(output: str, *, source: str) -> None:
    """Refuse an output within what is read.

    Raises
    ------
    Refusal
        If it is the same place, or below it; also by a link of a folder of this machine.
    """
    place, read = place_of(output, item="output"), place_of(source, item="input")
    if place.is_below(read) or _real(place, item="output").is_below(_real(read, item="input")):
        raise Refusal("output", expected="a place that is not within the input", found=output, status=422)


def check_links(folder: str, *, prefixes: Sequence[str], item: str, closed: Sequence[str] = ()) -> None:
    """Refuse a folder of this machine in which a link leads to where its tenant may not read.

    Parameters
    ----------
    folder, prefixes, item, closed
        As of `allowed_place`; the folder itself is allowed.

    Raises
    ------
    Refusal
        For the first such link.
    """
    allowed = [place_of(prefix, item="prefix") for prefix in prefixes]
    waiting, seen = [folder], set()
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current) as found:
                entries = list(found)
        except OSError:  # whoever lists what is to be read says why
            continue
        for entry in entries:
            if entry.is_symlink():
                real = os.path.realpath(entry.path)
                if not _is_open(Place("", tuple(real.split("/")[1:])), allowed=allowed, closed=closed):
                    raise Refusal(
                        item,
                        expected="links that lead below a prefix of the token",
                        found=entry.path[:200],
                        status=403,
                    )
                if real in seen:
                    continue
                seen.add(real)
            if entry.is_dir():
                waiting.append(entry.path)


def _is_open(real: Place, *, allowed: Sequence[Place], closed: Sequence[str]) -> bool:
    """Tell whether a place without links lies below a prefix, and is none of what the service keeps."""
    around = [prefix for prefix in (_real(each, item="prefix") for each in allowed) if real.is_below(prefix)]
    kept = [_real(place_of(each, item="store"), item="store") for each in closed]
    return any(
        all(prefix.is_below(own) or not (real.is_below(own) or own.is_below(real)) for own in kept)
        for prefix in around
    )


def _real(place: Place, *, item: str) -> Place:
    """Follow the links of this machine; an object store has none."""
    return place if place.root else place_of(os.path.realpath(str(place)), item=item)
