"""Threads by kind of work, so that what one kind waits for keeps none of another kind from being done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, Literal, TypeVar

_T = TypeVar("_T")

Kind = Literal["fetch", "write", "draw"]

AT_ONCE: Final[dict[Kind, int]] = {
    "fetch": 64,  # a store of a client's choice may let each wait as long as a call may take
    "write": 32,  # one waits for most of a minute whether a holder of its output is alive
    "draw": 2,  # each decodes a whole stem
}
"""How many pieces of work of a kind are done at a time."""

_OTHERS_AT_ONCE = 32


class Threads:
    """Threads for work that blocks; begun as they are needed."""

    def __init__(self) -> None:
        self._pools = {
            kind: ThreadPoolExecutor(at_once, thread_name_prefix=kind) for kind, at_once in AT_ONCE.items()
        }

    async def run(self, kind: Kind, work: Callable[[], _T]) -> _T:
        """Do some work in a thread of its kind.

        Of a call that is cancelled, what has not begun is never done; what has begun goes on, and counts until it ends.

        Parameters
        ----------
        kind : {"fetch", "write", "draw"}
        work : callable

        Returns
        -------
        object
            What `work` returns.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pools[kind], copy_context().run, work)

    def close(self) -> None:
        """Begin nothing more; nobody waits for what has begun."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)


def widen_loop() -> None:
    """Give the running loop a stated number of threads for all other work: of Serve it has five on a front."""
    pool = ThreadPoolExecutor(_OTHERS_AT_ONCE, thread_name_prefix="asyncio")
    asyncio.get_running_loop().set_default_executor(pool)
