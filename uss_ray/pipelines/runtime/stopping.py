"""How a run ends when it is asked to: what is in flight is finished and committed, nothing more begins."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from uss_ray.store.patience import hurry_if

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GLANCE_SECONDS = 0.5
_GRACE_SECONDS = 10.0  # for what others may be about to end


class StopRequest:
    """Whether somebody has asked the run to end, and by which signal."""

    def __init__(self, on_stop: Callable[[], None] = lambda: None) -> None:
        self._on_stop = on_stop
        self._asked_at: float | None = None
        self.signal_number: int | None = None

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def ask(self, number: int) -> None:
        """Ask; the second time ends the process at once."""
        if self.signal_number is not None:
            raise SystemExit(128 + number)
        self.signal_number, self._asked_at = number, time.monotonic()
        # Not in the signal's own frame: that may be in the middle of a call to Ray.
        threading.Thread(target=self._on_stop, name="stop", daemon=True).start()

    def sleep(self, seconds: float) -> None:
        """Wait for somebody else; for ten seconds at most once the run is asked to end.

        Raises
        ------
        SystemExit
            With 128 + signal, when these are over.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._asked_at is not None and time.monotonic() - self._asked_at >= _GRACE_SECONDS:
                logger.warning("stopped while it waited; what is done stays, and the same command goes on")
                raise SystemExit(128 + (self.signal_number or 0))
            time.sleep(min(left, _GLANCE_SECONDS))


@contextmanager
def stop_on_signals(on_stop: Callable[[], None]) -> Iterator[StopRequest]:
    """Call a function once at the first Ctrl-C, `kill` or closed terminal while the block runs.

    Put it inside the Ray session, for Ray sets a handler of its own when it starts. Outside the main thread signals
    cannot be caught, and none are. After it, no store is waited for any more.

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
    hurry_if(lambda: bool(request))
    try:
        yield request
    finally:
        hurry_if(None)
        for number, handler in earlier.items():
            signal.signal(number, handler)
