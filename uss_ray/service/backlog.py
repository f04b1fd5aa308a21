"""How much work is waiting, and how long it will take: what was taken in, at the pace of what was done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from uss_ray.service.problems import Refusal

_REMEMBERED_SECONDS = 600.0
_FIRST_PACE = 0.5


class Backlog:
    """Seconds of sound that were taken in and are not done.

    Parameters
    ----------
    queue_seconds : float
        So many seconds of work may wait; one request is always taken.
    """

    def __init__(self, queue_seconds: float) -> None:
        self._queue_seconds = queue_seconds
        self._lock = threading.Lock()
        self._waiting = 0.0
        self._sound = _REMEMBERED_SECONDS / 10
        self._work = self._sound * _FIRST_PACE

    @property
    def pace(self) -> float:
        """Seconds of work for a second of sound, lately."""
        return self._work / self._sound

    @property
    def seconds(self) -> float:
        """Seconds of work that wait."""
        return self._waiting * self.pace

    @contextmanager
    def taken(self, seconds: float) -> Iterator[None]:
        """Take in some seconds of sound, until the block ends.

        Raises
        ------
        Refusal
            If too much is waiting; it says when there will be room.
        """
        with self._lock:
            beyond = (self._waiting + seconds) * self.pace - self._queue_seconds
            if self._waiting and beyond > 0:
                raise Refusal(
                    "service",
                    expected=f"at most {self._queue_seconds:g} s of work that waits",
                    found=f"{self.seconds:.0f} s before this request",
                    status=503,
                    limit="queue_seconds",
                    retry_after=min(beyond, self.seconds),
                )
            self._waiting += seconds
        try:
            yield
        finally:
            with self._lock:
                self._waiting = max(0.0, self._waiting - seconds)

    def learn(self, *, sound: float, work: float) -> None:
        """Note how long some seconds of sound took."""
        with self._lock:
            kept = min(1.0, _REMEMBERED_SECONDS / (self._sound + sound))
            self._sound = (self._sound + sound) * kept
            self._work = (self._work + work) * kept
