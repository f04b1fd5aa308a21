"""Hands blocks from the thread that separates to the thread that writes, a few at a time."""

from __future__ import annotations

import queue
from collections.abc import Iterator

from uss_ray.separation.session import EstimateBlock

_HELD_BLOCKS = 2
_LOOK_SECONDS = 0.5


class BlockFeed:
    """The blocks of one recording: `put` by one thread, iterated over by another."""

    def __init__(self) -> None:
        self._blocks: queue.Queue[EstimateBlock | Exception | None] = queue.Queue(_HELD_BLOCKS)
        self._abandoned = False

    def put(self, block: EstimateBlock | Exception | None) -> None:
        """Hand over a block, what broke the recording off, or None at its end; waits for room.

        What nobody reads any more is dropped.
        """
        while not self._abandoned:
            try:
                self._blocks.put(block, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return

    def __iter__(self) -> Iterator[EstimateBlock]:
        """Give the blocks until the end; raise what broke the recording off."""
        while (block := self._blocks.get()) is not None:
            if isinstance(block, Exception):
                raise block
            yield block

    def abandon(self) -> None:
        """Say that nobody reads any more."""
        self._abandoned = True
