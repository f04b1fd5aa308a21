"""Processes that end by themselves."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

_LOOK_SECONDS = 0.1


def wait_until_ended(processes: Iterable[psutil.Process], *, seconds: float) -> None:
    """Wait for all of them; some left after so many seconds fail the test.

    `psutil.wait_procs` ends with an error where the number of one has become that of a thread meanwhile.
    """
    left = list(processes)
    end = time.monotonic() + seconds
    while left := [process for process in left if not _has_ended(process)]:
        assert time.monotonic() < end, left
        time.sleep(_LOOK_SECONDS)


def _has_ended(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True
