"""How Ctrl-C, `kill` and a closed terminal end a command: by an exception, so that the half-written is cleared away.

libsndfile calls back into Python, and an exception inside such a callback is lost. A signal that comes there is
remembered, and ends the command at its next step.
"""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CALLBACKS = ("soundfile.py", "vio_")

_caught: list[int] = []


def end_on_signals() -> None:
    """Let the signals that ask a process to end raise `SystemExit`, with the exit code a shell gives them."""
    for number in _SIGNALS:
        signal.signal(number, _end)


def stopped_code() -> int | None:
    """Give the exit code of the signal that was caught, or None if there was none."""
    return 128 + _caught[0] if _caught else None


def check_stopped() -> None:
    """Raise `SystemExit` if a signal was caught where it could not."""
    code = stopped_code()
    if code is not None:
        raise SystemExit(code)


def _end(number: int, frame: FrameType | None) -> None:
    _caught.append(number)
    if not _in_callback(frame):
        raise SystemExit(128 + number)


def _in_callback(frame: FrameType | None) -> bool:
    module, prefix = _CALLBACKS
    while frame is not None:
        if frame.f_code.co_name.startswith(prefix) and Path(frame.f_code.co_filename).name == module:
            return True
        frame = frame.f_back
    return False
