"""How far a run is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is.

    Parameters
    ----------
    finished, failed : int
        Recordings or clips of this run.
    found : int
        Those that the listing has found to do so far.
    audio_seconds : float
        Length of those that are done.
    """

    finished: int
    failed: int
    found: int
    audio_seconds: float


ProgressHook = Callable[[Progress], None]
