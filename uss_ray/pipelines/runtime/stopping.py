"""How a run ends when it is asked to: what is in flight is finished and committed, nothing more begins."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Whether somebody has asked the run to end, and by which signal."""

    def __init__(self, on_stop: Callable[[], None] = lambda: None) -> None:
        self._on_stop = on_stop
        self.signal_number: int | None = None

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def ask(self, number: int) -> None:
        """Ask; the second time ends the process at once."""
        if self.signal_number is not None:
            raise SystemExit(128 + number)
        self.signal_number = number
        # Not in the signal's own frame: that may be in the middle of a call to Ray.
        threading.Thread(target=self._on_stop, name="stop", daemon=True).start()


@contextmanager
def stop_on_signals(on_stop: Callable[[], None]) -> Iterator[StopRequest]:
    """Call a function once at the first Ctrl-C, `kill` or closed terminal while the block runs.

    Put it inside the Ray session, for Ray sets a handler of its own when it starts. Outside the main thread signals
    cannot be caught, and none are.

    Parameters
    ----------
    on_stop : callable
        Called in a thread of its own.

    Yields
    ------
    StopRequest
    """
    request = StopRequest(on_stop)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        request.ask(number)

    earlier = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
