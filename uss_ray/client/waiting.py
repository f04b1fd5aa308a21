"""Requests that end by their time, whatever they wait for: a name, a server that reads nothing, one that drips.

Time limits of a socket begin anew with every byte. So requests run in an event loop, in a thread of its own, where all
of one has an end; whoever asks waits in theirs.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from uss_ray.client.errors import ServiceError

if TYPE_CHECKING:
    import httpx

LEAST_BYTES = 1 << 20
"""What has to come, or go, of a file in the time that an answer may take."""

Answer = TypeVar("Answer")


class Waiting:
    """A client of httpx, and the thread in which its requests wait.

    Parameters
    ----------
    make : callable
        Makes the client: where there is none yet, and in a process that was forked from that of the former.
    """

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def ask(self, request: Callable[[httpx.AsyncClient], Awaitable[Answer]]) -> Answer:
        """Have something asked, and wait for its answer."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._begin()
            http, loop = self._http, self._loop
        assert http is not None
        assert loop is not None

        async def asked() -> Answer:
            return await request(http)

        future = asyncio.run_coroutine_threadsafe(asked(), loop)
        try:
            return future.result()
        except CancelledError as error:
            raise RuntimeError("the client was closed while it was asked something") from error
        finally:
            future.cancel()  # whoever does not wait any more; what has ended stays as it is

    def close(self) -> None:
        """Close the connections, and end the thread; the next request begins them anew."""
        with self._lock:
            thread, http, loop = self._thread, self._http, self._loop
            self._thread = None
        if thread is None or not thread.is_alive() or http is None or loop is None:
            return
        asyncio.run_coroutine_threadsafe(http.aclose(), loop).result()
        _stop(loop)
        thread.join()

    def _begin(self) -> None:
        self._http, loop = self._make(), asyncio.new_event_loop()
        self._loop = loop
        self._thread = threading.Thread(target=_run, args=(loop,), name="requests", daemon=True)
        self._thread.start()
        weakref.finalize(self, _stop, loop)  # of one that nobody closes


def _run(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop):  # which cancels what still waits
        loop.run_forever()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    with suppress(RuntimeError):  # it has ended
        loop.call_soon_threadsafe(loop.stop)


class Clock:
    """Ends a request that does not get on.

    Parameters
    ----------
    timeout : asyncio.Timeout
    seconds, most_seconds : float
        As of `by_its_time`.
    """

    def __init__(self, timeout: asyncio.Timeout, *, seconds: float, most_seconds: float) -> None:
        self._timeout = timeout
        self._seconds = seconds
        self._end = _now() + most_seconds
        self._since = 0

    def moved(self, count: int) -> None:
        """Note that so many bytes of a file have come, or gone."""
        self._since += count
        if self._since >= LEAST_BYTES:
            self._since = 0
            self._timeout.reschedule(min(_now() + self._seconds, self._end))


@asynccontextmanager
async def by_its_time(item: str, *, seconds: float, most_seconds: float = 0.0) -> AsyncIterator[Clock]:
    """End what the block does after so many seconds, or when a file of which the clock is told does not get on.

    Parameters
    ----------
    item : str
        What is asked, for the error.
    seconds : float
        For all of it; of a file for each `LEAST_BYTES`.
    most_seconds : float, optional
        For all of a file.

    Raises
    ------
    ServiceError
        If it has not ended by then.
    """
    began = _now()
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield Clock(timeout, seconds=seconds, most_seconds=most_seconds)
    except TimeoutError as error:
        raise ServiceError(
            item,
            expected=f"all of an answer within {seconds:g} s, of a file {LEAST_BYTES} bytes",
            found=f"less, {_now() - began:.0f} s after it was asked",
        ) from error


def _now() -> float:
    return asyncio.get_running_loop().time()
