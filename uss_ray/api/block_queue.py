"""A bounded queue of blocks between the thread that separates and the thread that writes."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator

from uss_ray.separation.session import EstimateBlock

_HELD_BLOCKS = 2
_LOOK_SECONDS = 0.5


class MachineError(Exception):
    """What went wrong is no recording's fault."""


class BlockQueue:
    """The blocks of one recording: `put` by one thread, iterated over by another.

    Attributes
    ----------
    full_seconds, empty_seconds : float
        Time that the one has waited for room, and the other for blocks.
    """

    def __init__(self) -> None:
        self._blocks: queue.Queue[EstimateBlock | Exception | None] = queue.Queue(_HELD_BLOCKS)
        self.full_seconds = 0.0
        self.empty_seconds = 0.0
        self._abandoned = False

    def put(self, block: EstimateBlock | Exception | None) -> bool:
        """Hand over a block, what broke the recording off, or None at its end; waits for room.

        Returns
        -------
        bool
            False, and the block is dropped, if nobody reads any more.
        """
        began = time.monotonic()
        while not self._abandoned:
            try:
                self._blocks.put(block, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            break
        self.full_seconds += time.monotonic() - began
        return not self._abandoned

    def __iter__(self) -> Iterator[EstimateBlock]:
        """Give the blocks until the end; raise what broke the recording off."""
        while (block := self._next()) is not None:
            if isinstance(block, Exception):
                raise block
            yield block

    def _next(self) -> EstimateBlock | Exception | None:
        began = time.monotonic()
        block = self._blocks.get()
        self.empty_seconds += time.monotonic() - began
        return block

    def abandon(self) -> None:
        """Say that nobody reads any more."""
        self._abandoned = True
