"""What every container of clips is read as: places, clips, and what could not be read; and how clips are named.

Owns the contract of a reader. The containers themselves are in `containers`, how a clip becomes a waveform in `decode`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from uss_ray.store.store import Store

_SUFFIXES = "3gp aac ac3 aif aiff amr au avi caf flac m4a mkv mov mp2 mp3 mp4 oga ogg opus wav webm wma wv"
CLIP_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Names that end so may be clips; those that no decoder here knows are unreadable clips, not absent ones."""

Wanted = Callable[[str], bool]
"""Tells by its name whether a clip is to be read."""


@dataclass(frozen=True, slots=True)
class ClipPlace:
    """A clip that a container says it holds.

    Parameters
    ----------
    name : str
        As the container has it, without folder and audio suffix; `SegmentTable.match` finds its labels.
    location : str
        File, or container and place in it as ``shard.tar#name``: for messages, and to open where it is a file.
    content_tag : str, optional
        Of a file of its own; see `Store.content_tag`. What is in a container changes with that.
    """

    name: str
    location: str
    content_tag: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ClipAudio:
    """A clip with its audio, one of three ways.

    Parameters
    ----------
    name, location, content_tag : str
        See `ClipPlace`.
    data : bytes, optional
        An encoded audio file.
    samples : ndarray of shape (samples,), dtype=int16, optional
        Decoded mono audio, full scale 32767.
    sample_rate : int, optional
        Of `samples`, in Hz.

    Notes
    -----
    With neither data nor samples the audio is the file at `location`, to be opened by whoever decodes it.
    """

    name: str
    location: str
    data: bytes | None = None
    samples: NDArray[np.int16] | None = None
    sample_rate: int | None = None
    content_tag: str | None = None


@dataclass(frozen=True, slots=True)
class BrokenContainer:
    """A container, or the rest of one, whose clips cannot be read.

    Parameters
    ----------
    location : str
    reason : str
        One line.
    """

    location: str
    reason: str


class ClipReader(Protocol):
    """Reads one container, or a part of one; a plain value that travels to a worker.

    Broken content is yielded as `BrokenContainer`; a store or disk that fails is raised as a DataError whose
    `__cause__` is that fault, for the caller to retry.
    """

    @property
    def place(self) -> Store:
        """Which container."""
        ...

    def places(self) -> Iterator[ClipPlace | BrokenContainer]:
        """List the clips, without their audio where the container permits."""
        ...

    def __call__(self, *, wanted: Wanted | None = None) -> Iterator[ClipAudio | BrokenContainer]:
        """Read the clips whose names are wanted, one after the other, in memory of a few clips."""
        ...


def clip_name(path: str) -> str | None:
    """Name a clip by its file: no folder, no audio suffix.

    Returns
    -------
    str or None
        None for hidden files and for those without an audio suffix.

    Examples
    --------
    >>> [clip_name(path) for path in ("a/Y-x.wav", "b/c_30.000.FLAC", "notes.txt", "._x.wav")]
    ['Y-x', 'c_30.000', None, None]
    """
    name = PurePosixPath(path).name
    if name.startswith(".") or not is_clip_file(name):
        return None
    return without_suffix(name)


def is_clip_file(path: str) -> bool:
    """Tell by its suffix whether a file may be a clip."""
    return PurePosixPath(path).suffix.casefold() in CLIP_SUFFIXES


def without_suffix(key: str) -> str:
    """Take folder and audio suffix, where there are any, off a key that names a clip in a table."""
    name = key.rsplit("/", 1)[-1]
    return name[: -len(PurePosixPath(name).suffix)] if is_clip_file(name) else name


def wants(wanted: Wanted | None, name: str) -> bool:
    """Apply a selection; None wants all."""
    return wanted is None or wanted(name)
