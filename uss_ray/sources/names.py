"""What counts as a recording by its name. Without Arrow, for the command line asks it."""

from __future__ import annotations

from pathlib import PurePosixPath

RECORDING_SUFFIXES = frozenset(
    [
        ".aif",
        ".aifc",
        ".aiff",
        ".au",
        ".caf",
        ".flac",
        ".m4a",
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
