"""What a process that separates for long does with the memory it has freed."""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 256 << 20
_HEAP_BYTES: Final = 32 << 20  # the most that glibc takes


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, up to 256 MB, for the whole process.

    Networks free and ask again for the same tens of megabytes in each forward. glibc gives much of it back to the
    system each time, and a fifth of a worker's CPU time went into the page faults that follow (docs/adr/0030).

    Returns
    -------
    bool
        False where the C library has no such switch: then nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _HEAP_BYTES) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
