"""Processes that are forked from one in which torch has computed: they would wait for threads that are not there.

A fork takes over the pool of OpenMP as it was, and none of its threads; whoever gives the pool work waits for ever.
"""

from __future__ import annotations

import os

import torch

from uss_ray.errors import ConfigError


class _Pools:
    """How many threads torch has computed with, in this process and in those that it is forked from."""

    def __init__(self) -> None:
        self.own = 1
        self.inherited = 1

    def leave_behind(self) -> None:
        """Begin anew in a child, which has no pool of its own yet."""
        self.own, self.inherited = 1, max(self.own, self.inherited)


_pools = _Pools()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.leave_behind)


def note_computing() -> None:
    """Note that torch is about to compute with the threads that it has, or refuse it where that would never end.

    Raises
    ------
    ConfigError
        If this process is forked from one that has computed with several threads, and would do so itself.
    """
    threads = torch.get_num_threads()
    if threads > 1 and _pools.inherited > 1:
        raise ConfigError(
            "this process",
            expected="one that was spawned, or came of a forkserver (`multiprocessing.get_context`), or one thread "
            "(`torch.set_num_threads(1)`)",
            found=f"a fork of a process that had computed with {_pools.inherited} threads, of which it has none",
        )
    _pools.own = max(_pools.own, threads)
