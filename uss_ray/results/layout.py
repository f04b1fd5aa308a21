"""Where results lie under an output root.

Owns every name of a folder or file that USS-Ray writes; opens and writes nothing itself. All names are
relative to the root, with forward slashes, so that they hold on a disk and in an object store alike::

    <recording_id>/level-2/dog__m_0bt9lr.flac     one stem a node of an ontology level
    <recording_id>/level-2/dog__m_0bt9lr/000012.000.flac   one file for each active span, named by its first second
    <recording_id>/level-2/residual.flac          the mixture minus the stems of that level
    <recording_id>/query/my-query.flac            one stem a query (class, union, text, example)
    <recording_id>/query/residual.flac            the mixture minus the stems of the queries
    <recording_id>/report.html
    index/<name>.parquet
    .parts/<key>/000003/                          a part of a long recording that waits for the others
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Collection

REPORT_NAME = "report.html"
INDEX_FOLDER = "index"
PARTS_FOLDER = ".parts"
QUERY_FOLDER = "query"
RESIDUAL_SLUG = "residual"

_NAME_BYTES = 200  # file systems allow 255 bytes a name; a temporary suffix must fit as well
_SLUG_CHARS = 60
_RESERVED_CHARS = frozenset('%<>:"|?*\\#')
_UNPRINTABLE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_PLAIN_PART = re.compile(
    r"[0-9A-Za-z_\- !$&'()+,;=@\[\]^`{}~.]+"
)  # most names; the rest is looked at by letter
_DEVICE_NAME = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def recording_id(relative_path: str) -> str:
    """Make the folder name of a recording from where it lies in its archive.

    Folders and the extension are kept, so that `a.wav` and `a.flac` get folders of their own. Letters of any
    script stay as they are; what a file system or an object store reserves is percent-encoded, so different
    paths get different names. `.` and `..` are resolved and can never lead out of the root.

    Parameters
    ----------
    relative_path : str
        Path below the root of the archive, with forward slashes, such as `field trip/Vögel 3.wav`.

    Returns
    -------
    str
        Relative path without empty, `.` or `..` parts; every part at most 200 bytes.

    Raises
    ------
    ValueError
        If nothing is left of the path.

    Examples
    --------
    >>> recording_id("field trip/Vögel 3.wav")
    'field trip/Vögel 3.wav'
    >>> recording_id("../takes/what?.wav")
    'takes/what%3F.wav'
    """
    parts: list[str] = []
    for part in relative_path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    if not parts:
        raise ValueError(f"relative_path: expected the path of a recording, found {relative_path!r}")
    safe_parts = [_safe_part(part) for part in parts]
    if safe_parts[0].casefold() == INDEX_FOLDER:
        safe_parts[0] = _encoded(safe_parts[0][0]) + safe_parts[0][1:]
    return "/".join(safe_parts)


def stem_slug(label: str, *, node_id: str | None = None) -> str:
    """Make the file name (without extension) of a stem.

    Parameters
    ----------
    label : str
        Display name of the node or text of the query, in any script.
    node_id : str or None, default=None
        Id of the ontology node, such as `/m/0bt9lr`; None for a query.

    Returns
    -------
    str
        Lower-case words joined by hyphens, followed by `__` and the id where there is one.

    Examples
    --------
    >>> stem_slug("Child speech, kid speaking", node_id="/m/0ytgt")
    'child-speech-kid-speaking__m_0ytgt'
    >>> stem_slug("perro ladrando")
    'perro-ladrando'
    """
    words = re.findall(r"\w+", label.casefold())
    slug = "-".join(words)[:_SLUG_CHARS].strip("-_") or "stem"
    if node_id is None:
        return _safe_part(slug)
    return _safe_part(f"{slug}__{node_id.strip('/').replace('/', '_')}")


def stem_path(recording: str, *, level: int | None, slug: str, extension: str) -> str:
    """Place one stem.

    Parameters
    ----------
    recording : str
        A `recording_id`.
    level : int or None
        Ontology level (roots are 1), or None for a query.
    slug : str
        From `stem_slug`, or `RESIDUAL_SLUG`.
    extension : str
        Such as `flac`, without the dot.

    Returns
    -------
    str
        Path relative to the output root.

    Examples
    --------
    >>> stem_path("a.wav", level=2, slug="dog__m_0bt9lr", extension="flac")
    'a.wav/level-2/dog__m_0bt9lr.flac'
    """
    folder = QUERY_FOLDER if level is None else f"level-{level}"
    return f"{recording}/{folder}/{slug}.{extension}"


def span_stem_path(
    recording: str, start_seconds: float, *, level: int | None, slug: str, extension: str
) -> str:
    """Place the file of one active span, in the folder that has the name of the stem.

    Parameters
    ----------
    recording, level, slug, extension
        As in `stem_path`.
    start_seconds : float
        Where in the recording the file begins; the names of a stem sort by it up to 11 days.

    Returns
    -------
    str
        Path relative to the output root.

    Examples
    --------
    >>> span_stem_path("a.wav", 11.875, level=2, slug="dog__m_0bt9lr", extension="flac")
    'a.wav/level-2/dog__m_0bt9lr/000011.875.flac'
    """
    return stem_path(recording, level=level, slug=f"{slug}/{start_seconds:010.3f}", extension=extension)


def part_folder(key: str, number: int) -> str:
    """Place one part of a long recording, relative to the output root; `key` names the recording."""
    return f"{PARTS_FOLDER}/{_safe_part(key)}/{number:06d}"


def free_slug(slug: str, *, taken: Collection[str]) -> str:
    """Tell apart two stems of one folder whose names come out the same.

    Parameters
    ----------
    slug : str
        The wanted name.
    taken : collection of str
        Case-folded names that are in use in this folder.

    Returns
    -------
    str
        `slug`, or `slug` with the first free number from 2 appended.

    Examples
    --------
    >>> free_slug("dog", taken={"dog", "residual"})
    'dog-2'
    """
    candidate, number = slug, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{slug}-{number}"
    return candidate


def report_path(recording: str) -> str:
    """Place the report of a recording, relative to the output root."""
    return f"{recording}/{REPORT_NAME}"


def index_path(name: str) -> str:
    """Place one part of the index, relative to the output root; `name` has no extension."""
    return f"{INDEX_FOLDER}/{_safe_part(name)}.parquet"


@functools.lru_cache(maxsize=1024)  # folders come again and again
def _safe_part(part: str) -> str:
    plain = _PLAIN_PART.fullmatch(part)
    characters = list(part) if plain else [_encoded(char) if _is_reserved(char) else char for char in part]
    if characters[-1] in {".", " "}:  # a file system of Windows drops both in silence
        characters[-1] = _encoded(characters[-1])
    if _DEVICE_NAME.match(part):
        characters[0] = _encoded(characters[0])
    return _shortened("".join(characters))


def _is_reserved(char: str) -> bool:
    return char in _RESERVED_CHARS or unicodedata.category(char) in _UNPRINTABLE_CATEGORIES


def _encoded(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def _shortened(part: str) -> str:
    raw = part.encode()
    if len(raw) <= _NAME_BYTES:
        return part
    stem, dot, extension = part.rpartition(".")
    ending = dot + extension if stem and len(extension.encode()) <= 10 else ""
    ending = f"~{hashlib.sha256(raw).hexdigest()[:16]}{ending}"
    return raw[: _NAME_BYTES - len(ending.encode())].decode(errors="ignore") + ending
