"""Patience with a store: what failed for a passing reason is tried again, until a set time is over.

One loop around every request, with one clock. The clients' own retries are switched off below it: they count attempts
instead of seconds, and would multiply. Once the run is to end, a request that gets no answer is given up as well.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    wait_random_exponential,
)

from uss_ray.errors import ConfigError
from uss_ray.store.faults import is_transient, wording
from uss_ray.wording import without_secrets

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

VARIABLE = "USS_RAY_STORAGE_PATIENCE_SECONDS"
_DEFAULT_SECONDS = 300.0
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 15.0
_QUIET_SECONDS = 8.0
_REPEAT_SECONDS = 30.0
_LOOK_SECONDS = 1.0
_GLANCE_SECONDS = 0.5
_LAST_SECONDS = 6.0  # that a request may take once the run is to end: 8 MB over a slow line
_SILENT_SECONDS = 3.0  # and where there was no answer for long, or the one before was given up
_SILENCE_SECONDS = 15.0


def patience_seconds(given: float | None = None) -> float:
    """Tell how long a fault that may pass is waited out.

    Parameters
    ----------
    given : float, optional
        Of the store's options.

    Returns
    -------
    float
        `given`, or else ``USS_RAY_STORAGE_PATIENCE_SECONDS``, read at each call, or five minutes. Not negative; 0 tries
        once.

    Raises
    ------
    ConfigError
        If the variable is no such number.
    """
    if given is not None:
        return given
    text = os.environ.get(VARIABLE)
    try:
        seconds = _DEFAULT_SECONDS if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ConfigError(VARIABLE, expected="a number of seconds, not negative", found=repr(text))
    return seconds


def patiently(
    action: Callable[[], _T],
    *,
    seconds: float | None = None,
    worth_repeating: Callable[[BaseException], bool] = is_transient,
    is_short: bool = True,
    place: str = "",
    heard: Callable[[], object] | None = None,
) -> _T:
    """Do something to a store, again and again while its fault may pass.

    Parameters
    ----------
    action : callable
        Must do no harm when it is repeated.
    seconds : float, optional
        Patience of the store's options; None leaves it to the environment.
    worth_repeating : callable, default=is_transient
        Judges what `action` raised.
    is_short : bool, default=True
        Whether it is one request: whoever waits long for one says so.
    place : str, default=""
        What is asked, for who reads that it is waited for.
    heard : callable, optional
        Of an action that takes long where all is well: gives something that changes whenever bytes come, and only
        while it stays the same is the store waited for.

    Returns
    -------
    object
        What `action` returns.

    Raises
    ------
    Exception
        What `action` raised last, unchanged: at once if it is there to stay, else when the patience is at its end.
    """
    with _waiting(seconds, is_told=is_short or heard is not None, place=place, heard=heard) as wait:
        return Retrying(**_policy(worth_repeating, seconds, wait))(partial(_answered, action))


async def patiently_awaited(
    action: Callable[[], Awaitable[_T]],
    *,
    seconds: float | None = None,
    worth_repeating: Callable[[BaseException], bool] = is_transient,
    is_short: bool = True,
    place: str = "",
) -> _T:
    """Do what `patiently` does, for an action that is awaited.

    Parameters
    ----------
    action : callable
        Makes a new awaitable for each attempt.
    seconds : float, optional
        As for `patiently`.
    worth_repeating : callable, default=is_transient
        Judges what it raised.
    is_short, place
        As for `patiently`.

    Returns
    -------
    object
        What it returns.
    """

    async def attempt() -> _T:
        return await (_answer_awaited(action()) if is_short else action())

    with _waiting(seconds, is_told=is_short, place=place) as wait:
        return await AsyncRetrying(**_policy(worth_repeating, seconds, wait))(attempt)


@dataclass
class Wait:
    """A request that is not answered yet.

    Attributes
    ----------
    since : float
        When it was begun, on the monotonic clock.
    seconds : float
        How long its faults are waited out.
    found : str
        What was wrong last, with it or with a request within it.
    place : str
        What is asked.
    within : Wait or None
        The request that it is a part of.
    heard : callable or None
        As of `patiently`.
    heard_last : object
        What that gave last.
    """

    since: float
    seconds: float
    found: str = ""
    place: str = ""
    within: Wait | None = None
    heard: Callable[[], object] | None = None
    heard_last: object = None

    def listen(self, now: float) -> None:
        """Begin anew where bytes have come."""
        heard = self.heard() if self.heard is not None else None
        if heard != self.heard_last:
            self.since, self.heard_last, self.found = now, heard, ""


def waiting_line(waits: Collection[Wait], *, now: float, wall: float) -> str | None:
    """Say since when the oldest request waits, and until when; None while none waits long.

    Parameters
    ----------
    waits : collection of Wait
    now, wall : float
        On the monotonic clock, and in seconds since 1970.
    """
    oldest = min(waits, key=lambda wait: wait.since, default=None)
    if oldest is None or now - oldest.since < _QUIET_SECONDS:
        return None
    began = wall - (now - oldest.since)
    since, until = (
        time.strftime("%H:%M:%S UTC", time.gmtime(moment)) for moment in (began, began + oldest.seconds)
    )
    # Of what is on its way, as a large part over a slow line, nobody knows yet that it fails.
    place, found = without_secrets(oldest.place), oldest.found or "not answered yet"
    what = f"{place}: {found}" if place else found
    end = f"at most until {until} before it counts as a fault"
    if not oldest.found:
        end = f"what fails is tried again until {until}"
    # What stands before "since" is the same for all places: by it, what many workers say is told once.
    return f"waiting for the store since {since} ({what}), {end}"


class CutShortError(ConnectionError):
    """The run is to end, and a request has no answer yet; what becomes of it nobody will hear."""

    def __init__(self) -> None:
        super().__init__(errno.ETIMEDOUT, "no answer, and the run is to end")


_hurried = threading.Event()
_asks: Callable[[], bool] | None = None
_answered_at = -math.inf


def hurry_if(asked: Callable[[], bool] | None) -> None:
    """Let the requests of this process have no patience any more once somebody wants the end.

    Parameters
    ----------
    asked : callable or None
        Tells it; asked every second as long as a request waits. None: nobody will want it.
    """
    global _asks
    _asks = asked
    _hurried.clear()


_waits: dict[int, Wait] = {}
_watched_in: int | None = None
_around: ContextVar[Wait | None] = ContextVar("around", default=None)


@contextmanager
def _waiting(
    seconds: float | None,
    *,
    is_told: bool,
    place: str,
    heard: Callable[[], object] | None = None,
) -> Iterator[Wait]:
    global _watched_in
    wait = Wait(time.monotonic(), patience_seconds(seconds), place=place, within=_around.get(), heard=heard)
    if not is_told:
        yield wait
        return
    if heard is not None:
        wait.heard_last = heard()
    if _watched_in != os.getpid():
        _watched_in = os.getpid()
        _waits.clear()
        threading.Thread(target=_watch, name="store", daemon=True).start()
    _waits[id(wait)] = wait
    token = _around.set(wait)
    try:
        yield wait
    finally:
        _around.reset(token)
        _waits.pop(id(wait), None)


def _watch() -> None:
    """Warn of requests that wait; a client that hangs in one says nothing itself."""
    last = -math.inf
    while True:
        time.sleep(_LOOK_SECONDS)
        _look_whether_to_hurry()
        waits = list(_waits.values())
        for wait in waits:
            wait.listen(time.monotonic())
        line = waiting_line(waits, now=time.monotonic(), wall=time.time())
        if line is not None and time.monotonic() - last >= _REPEAT_SECONDS:
            last = time.monotonic()
            logger.warning("%s", line)
        elif line is None:
            last = -math.inf


def _answered(action: Callable[[], _T]) -> _T:
    """Do it, in a thread that can be left alone where a run may want the end."""
    if _asks is None:
        return action()
    answer: Future[_T] = Future()

    def act() -> None:
        try:
            answer.set_result(action())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            answer.set_exception(error)

    began = time.monotonic()
    # In a context like this one: what the action asks in turn is a part of it.
    threading.Thread(target=copy_context().run, args=(act,), name="request", daemon=True).start()
    while not wait_for([answer], timeout=_GLANCE_SECONDS).done:
        _refuse_to_wait(began)
    _note_answer()
    return answer.result()


async def _answer_awaited(action: Awaitable[_T]) -> _T:
    if _asks is None:
        return await action
    answer = asyncio.ensure_future(action)
    began = time.monotonic()
    try:
        while not (await asyncio.wait({answer}, timeout=_GLANCE_SECONDS))[0]:
            _refuse_to_wait(began)
        _note_answer()
        return answer.result()
    finally:
        answer.cancel()


def _refuse_to_wait(began: float) -> None:
    global _answered_at
    now = time.monotonic()
    most = _LAST_SECONDS if now - _answered_at < _SILENCE_SECONDS else _SILENT_SECONDS
    if _hurried.is_set() and now - began >= most:
        _answered_at = -math.inf
        raise CutShortError


def _note_answer() -> None:
    global _answered_at
    _answered_at = time.monotonic()


def _look_whether_to_hurry() -> None:
    oldest = min((wait.since for wait in list(_waits.values())), default=math.inf)
    if _asks is not None and not _hurried.is_set() and time.monotonic() - oldest >= _LOOK_SECONDS:
        with suppress(Exception):  # who would know is gone
            if _asks():
                _hurried.set()


def _policy(
    worth_repeating: Callable[[BaseException], bool], seconds: float | None, wait: Wait
) -> dict[str, Any]:
    most = patience_seconds(seconds)
    return {
        "retry": retry_if_exception(worth_repeating),
        "stop": lambda state: _hurried.is_set() or (state.seconds_since_start or 0.0) >= most,
        # Full jitter: many workers meet the same fault at the same moment.
        "wait": wait_random_exponential(multiplier=_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS),
        "before_sleep": partial(_tell, wait),
        "reraise": True,
    }


def _tell(wait: Wait, state: RetryCallState) -> None:
    fault = state.outcome.exception() if state.outcome is not None else None
    waited = state.seconds_since_start or 0.0
    wait.found = wording(fault) if fault is not None else "no answer"
    above = wait.within
    while above is not None:
        above.found, above = wait.found, above.within
    logger.info("the store fails for %.0f s now (%s), trying again", waited, wait.found)
