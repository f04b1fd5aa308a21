"""Whether a file of a listing is a recording: by its name where that tells, by its first bytes otherwise."""

from __future__ import annotations

import os
import stat

from uss_ray.audio.sniff import HEAD_BYTES, looks_like_sound
from uss_ray.errors import UssRayError
from uss_ray.sources.names import has_other_suffix, has_recording_suffix
from uss_ray.store.store import FoundFile


def is_recording(found: FoundFile) -> bool:
    """Tell whether a file counts as a recording.

    Parameters
    ----------
    found : FoundFile
        Of a listing.

    Returns
    -------
    bool
        True for any name that ends as recordings do: if it is none, its row says so. Others are looked into, but for
        empty ones and, in an object store, for those that end as texts and pictures do: each look is a request there.
        One that is there and cannot be looked into counts, unless it ends so: a fault of the store or a permission says
        nothing of what it holds, and whoever opens it tells.
    """
    name = str(found.place)
    if has_recording_suffix(name):
        return True
    if found.size_bytes == 0:
        return False
    if found.place.is_remote:
        if has_other_suffix(name):
            return False
    elif not _is_plain(name):
        return False
    try:
        with found.place.open() as file:
            return looks_like_sound(file.read(HEAD_BYTES))
    except (OSError, UssRayError):
        return not (has_other_suffix(name) or found.place.is_gone())


def _is_plain(name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name).st_mode)
    except OSError:
        return False
