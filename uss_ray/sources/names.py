"""What counts as a recording by its name alone. Without Arrow, for the command line asks it.

A name that tells nothing is looked into: see `contents`.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from uss_ray.records import RECORDING_SUFFIXES

_NO_SOUND = """
7z avro bib bmp bz2 cfg conf csv db doc docx eaf gif gz h5 hdf5 htm html inf ini jpeg jpg js json jsonl lock log md md5
nc ndjson npy npz ods orc parquet pdf pickle pkl png ppt pptx py rar rtf sfv sha1 sha256 sql srt svg tar textgrid tgz
tif tiff tmp toml tsv txt vtt webp xls xlsx xml yaml yml zip zst
"""

OTHER_SUFFIXES = frozenset(f".{suffix}" for suffix in _NO_SOUND.split())
"""Of what lies beside recordings; in an object store they are not looked into."""


def looks_like_recording(name: str) -> bool:
    """Tell by its name whether something may be a recording: a known audio suffix, or a URI.

    Examples
    --------
    >>> [looks_like_recording(name) for name in ("a b.WAV", "s3://bucket/x", "Dog", "/m/0bt9lr")]
    [True, True, False, False]
    """
    return "://" in name or has_recording_suffix(name)


def has_other_suffix(name: str) -> bool:
    """Tell whether a name ends as those of other things do, in any case."""
    return PurePosixPath(name).suffix.casefold() in OTHER_SUFFIXES


def has_recording_suffix(name: str) -> bool:
    """Tell whether a name ends as recordings do, in any case."""
    return PurePosixPath(name).suffix.casefold() in RECORDING_SUFFIXES
