"""How much memory an action takes, told so that nothing else in the process can decide a test."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable


def least_peak_bytes(action: Callable[[], object], *, tries: int = 3) -> int:
    """Least of several peaks of what Python and numpy hold on top of what there was.

    What is loaded on first use, other threads and a late collection only add to a peak; an action that holds too
    much does so each time. (Tracing slows Python down severalfold: load what is slow to load before.)
    """
    peaks = []
    for _ in range(tries):
        tracemalloc.start()
        try:
            action()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)
