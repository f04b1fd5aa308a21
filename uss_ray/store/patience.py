"""Patience with a store: what failed for a passing reason is tried again, until a set time is over.

One loop around every request, with one clock. The clients' own retries are switched off below it: they count attempts
instead of seconds, and would multiply.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from uss_ray.errors import ConfigError
from uss_ray.store.faults import is_transient, wording

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

VARIABLE = "USS_RAY_STORAGE_PATIENCE_SECONDS"
_DEFAULT_SECONDS = 300.0
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 15.0
_QUIET_SECONDS = 10.0


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

    Returns
    -------
    object
        What `action` returns.

    Raises
    ------
    Exception
        What `action` raised last, unchanged: at once if it is there to stay, else when the patience is at its end.
    """
    return Retrying(**_policy(worth_repeating, seconds))(action)


async def patiently_awaited(
    action: Callable[[], Awaitable[_T]],
    *,
    seconds: float | None = None,
    worth_repeating: Callable[[BaseException], bool] = is_transient,
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

    Returns
    -------
    object
        What it returns.
    """

    async def attempt() -> _T:
        return await action()

    return await AsyncRetrying(**_policy(worth_repeating, seconds))(attempt)


def _policy(worth_repeating: Callable[[BaseException], bool], seconds: float | None) -> dict[str, Any]:
    return {
        "retry": retry_if_exception(worth_repeating),
        "stop": stop_after_delay(patience_seconds(seconds)),
        # Full jitter: many workers meet the same fault at the same moment.
        "wait": wait_random_exponential(multiplier=_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS),
        "before_sleep": _tell,
        "reraise": True,
    }


def _tell(state: RetryCallState) -> None:
    fault = state.outcome.exception() if state.outcome is not None else None
    waited = state.seconds_since_start or 0.0
    level = logging.WARNING if waited >= _QUIET_SECONDS else logging.INFO
    found = wording(fault) if fault is not None else "no answer"
    logger.log(level, "the store fails for %.0f s now (%s), trying again", waited, found)
