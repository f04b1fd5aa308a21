"""What C libraries print to stderr by themselves, such as libmpg123 of a damaged MP3: a user hears it from us, once.

They write to descriptor 2. A program that gives Python's own stderr another one can close that for a moment; where
Python writes there too, such as in a notebook, nothing is silenced.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_DESCRIPTOR = 2

_lock = threading.Lock()
_silenced_by = 0
_kept = -1
_is_apart = False


def keep_python_apart() -> None:
    """Give Python's stderr a descriptor of its own; for a program, once at its start."""
    global _is_apart
    if not _is_apart:
        sys.stderr.flush()
        sys.stderr = open(  # noqa: SIM115 - open as long as the process is
            os.dup(_DESCRIPTOR), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
        )
        _is_apart = True


@contextmanager
def c_libraries_silenced() -> Iterator[None]:
    """Let nothing of what C libraries print come out as long as the block runs, in any thread."""
    if not _is_apart:
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _silenced_by, _kept
    with _lock:
        if _silenced_by == 0:
            _kept = os.dup(_DESCRIPTOR)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, _DESCRIPTOR)
            os.close(nowhere)
        _silenced_by += 1


def _leave() -> None:
    global _silenced_by, _kept
    with _lock:
        _silenced_by -= 1
        if _silenced_by == 0:
            os.dup2(_kept, _DESCRIPTOR)
            os.close(_kept)
            _kept = -1
