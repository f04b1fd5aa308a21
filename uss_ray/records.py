"""Recordings as all rooms know them: what one is, and the id and the key it has wherever its archive lies.

Owns the rules by which a path becomes a name that holds on a disk and in an object store alike.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from dataclasses import dataclass

INDEX_FOLDER = "index"
"""Folder of the index below an output root; no recording is called so."""

_SOUND = """
aac ac3 aif aifc aiff amr ape au awb bwf caf dff dsf dts eac3 flac m4a m4b m4r mka mp1 mp2 mp3 mpga nist oga ogg opus
qoa rf64 snd spx sph tta voc w64 wav wave wma wv
"""
_PICTURES_WITH_SOUND = "3g2 3gp asf avi flv m2ts m4v mkv mov mp4 mpeg mpg mts mxf ogv ogx qt vob webm wmv"
RECORDING_SUFFIXES = frozenset(f".{suffix}" for suffix in f"{_SOUND} {_PICTURES_WITH_SOUND}".split())
"""How names of recordings end, in lower case."""

_NAME_BYTES = 200  # file systems allow 255 bytes a name; a temporary suffix must fit as well
_RESERVED_CHARS = frozenset('%<>:"|?*\\#')
_UNPRINTABLE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_PLAIN_PART = re.compile(
    r"[0-9A-Za-z_\- !$&'()+,;=@\[\]^`{}~.]+"
)  # most names; the rest is looked at by letter
_DEVICE_NAME = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³]) *(\.|$)")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording to separate.

    Parameters
    ----------
    recording_uri : str
        Where it lies.
    recording_id : str
        Its name below the output root, from its path in the archive; see `layout.recording_folder`.
    content_tag : str or None, default=None
        What it held when somebody last looked; see `Store.content_tag`.
    sha256 : str or None, default=None
        Of its file, once that has been read whole.
    """

    recording_uri: str
    recording_id: str
    content_tag: str | None = None
    sha256: str | None = None

    @property
    def recording_key(self) -> int:
        """Key of a ledger: 63 bits of the id's hash, the same wherever the archive lies."""
        return recording_key(self.recording_id)


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
    safe_parts = [safe_name(part) for part in parts]
    if safe_parts[0].casefold() == INDEX_FOLDER:
        safe_parts[0] = encoded(safe_parts[0][0]) + safe_parts[0][1:]
    return "/".join(safe_parts)


def recording_key(name: str) -> int:
    """Hash a recording id to a non-negative int64.

    Examples
    --------
    >>> recording_key("a.wav") == recording_key("a.wav"), recording_key("b.wav") < 2**63
    (True, True)
    """
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def content_key(content_tag: str | None) -> int:
    """Hash the tag of a content, see `Store.content_tag`; 0 for none."""
    return 0 if content_tag is None else recording_key(content_tag)


@functools.lru_cache(maxsize=1024)  # folders come again and again
def safe_name(part: str) -> str:
    """Encode what a file system or an object store reserves in one name, and shorten it to 200 bytes."""
    plain = _PLAIN_PART.fullmatch(part)
    characters = list(part) if plain else [encoded(char) if _is_reserved(char) else char for char in part]
    if characters[-1] in {".", " "}:  # a file system of Windows drops both in silence
        characters[-1] = encoded(characters[-1])
    if _DEVICE_NAME.match(part):
        characters[0] = encoded(characters[0])
    return _shortened("".join(characters))


def _is_reserved(char: str) -> bool:
    return char in _RESERVED_CHARS or unicodedata.category(char) in _UNPRINTABLE_CATEGORIES


def encoded(char: str) -> str:
    """Percent-encode a letter, whatever it is."""
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def _shortened(part: str) -> str:
    raw = part.encode()
    if len(raw) <= _NAME_BYTES:
        return part
    stem, dot, extension = part.rpartition(".")
    ending = dot + extension if stem and len(extension.encode()) <= 10 else ""
    ending = f"~{hashlib.sha256(raw).hexdigest()[:16]}{ending}"
    return raw[: _NAME_BYTES - len(ending.encode())].decode(errors="ignore") + ending
