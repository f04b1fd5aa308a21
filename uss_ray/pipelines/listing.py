"""Which recordings an archive holds, and the names and keys they keep.

Owns what counts as a recording by its name; whether it can be read shows when it is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from uss_ray.errors import RecordingError
from uss_ray.results.layout import recording_id
from uss_ray.storage import uri

RECORDING_SUFFIXES = frozenset(
    [
        ".aif",
        ".aifc",
        ".aiff",
        ".au",
        ".caf",
        ".flac",
        ".mp3",
        ".oga",
        ".ogg",
        ".opus",
        ".rf64",
        ".snd",
        ".w64",
        ".wav",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording to separate.

    Parameters
    ----------
    recording_uri : str
        Where it lies.
    recording_id : str
        Its folder below the output root, from its path in the archive.
    """

    recording_uri: str
    recording_id: str

    @property
    def recording_key(self) -> int:
        """Key of a ledger: 63 bits of the id's hash, the same wherever the archive lies."""
        return recording_key(self.recording_id)


def recording_key(name: str) -> int:
    """Hash a recording id to a non-negative int64.

    Examples
    --------
    >>> recording_key("a.wav") == recording_key("a.wav"), recording_key("b.wav") < 2**63
    (True, True)
    """
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def looks_like_recording(name: str) -> bool:
    """Tell by its name whether something may be a recording: a known audio suffix, or a URI.

    Examples
    --------
    >>> [looks_like_recording(name) for name in ("a b.WAV", "s3://bucket/x", "Dog", "/m/0bt9lr")]
    [True, True, False, False]
    """
    return "://" in name or has_recording_suffix(name)


def has_recording_suffix(name: str) -> bool:
    """Tell whether a name ends as recordings do, in any case."""
    return PurePosixPath(name).suffix.casefold() in RECORDING_SUFFIXES


def single_recording(location: str) -> Recording:
    """Name one recording by its file name alone.

    Raises
    ------
    RecordingError
        If the location has no name.
    """
    name = PurePosixPath(location).name if uri.is_remote(location) else Path(location).name
    if not name or name == "..":
        raise RecordingError(location or "recording", expected="the name of an audio file", found="none")
    return Recording(recording_uri=location, recording_id=recording_id(name))


def list_recordings(archive: str) -> Iterator[Recording]:
    """List the recordings of an archive, as they are found.

    Parameters
    ----------
    archive : str
        A folder, a prefix of an object store, or one recording.

    Yields
    ------
    Recording
        Everything with a known audio suffix, in the order of the names.

    Raises
    ------
    RecordingError
        If there is nothing of that name, or no recording in it.
    """
    found_any = False
    for location in uri.list_recursive(archive):
        if location.rstrip("/") == archive.rstrip("/"):
            yield single_recording(location)
            return
        if has_recording_suffix(location):
            found_any = True
            name = uri.relative(location, base=archive)
            yield Recording(recording_uri=location, recording_id=recording_id(name))
    if not found_any:
        raise RecordingError(archive, expected="recordings (.wav, .flac, .ogg, .mp3 …)", found="none")
