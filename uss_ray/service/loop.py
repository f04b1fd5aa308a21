"""One thread that separates: sessions join and leave between two forwards; their blocks go to whoever writes them."""

from __future__ import annotations

import logging
import threading

from uss_ray.api.block_queue import BlockQueue, MachineError
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.scheduler import Session, SessionEnd, Ticket
from uss_ray.separation.session import EstimateBlock

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


class Abandoned(Exception):  # noqa: N818 - nothing went wrong: nobody waits for it any more
    """The session was ended from outside."""


class SeparationLoop:
    """The scheduler of an engine, in a thread of its own.

    Parameters
    ----------
    engine : SeparationEngine
    """

    def __init__(self, engine: SeparationEngine) -> None:
        self._scheduler = engine.scheduler()
        self._lock = threading.Lock()
        self._queues: dict[Ticket, BlockQueue] = {}
        self._left: list[BlockQueue] = []
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="separate", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Count the sessions that have not ended."""
        return len(self._scheduler)

    def join(self, session: Session[EstimateBlock]) -> tuple[Ticket, BlockQueue]:
        """Take a session in; its blocks come to the queue, last None or what broke it off."""
        blocks = BlockQueue()
        with self._lock:
            if self._ends:
                raise Abandoned
            ticket = self._scheduler.submit(session)
            self._queues[ticket] = blocks
        return ticket, blocks

    def leave(self, ticket: Ticket) -> None:
        """End a session; who reads its blocks meets `Abandoned`. One that has ended is no fault."""
        with self._lock:
            blocks = self._queues.pop(ticket, None)
            if blocks is not None:
                self._left.append(blocks)
        self._scheduler.cancel(ticket)

    def close(self) -> None:
        """End all sessions, and the thread."""
        with self._lock:
            # At once with the end: the thread ends where it finds that, and none that has left.
            self._ends = True
            tickets = list(self._queues)
            self._left += self._queues.values()
            self._queues = {}
        for ticket in tickets:
            self._scheduler.cancel(ticket)
        self._thread.join()

    def _is_over(self) -> bool:
        with self._lock:
            return self._ends and not self._left

    def _run(self) -> None:
        while not self._is_over():
            if self._scheduler.wait(_LOOK_SECONDS):
                self._step()
            self._let_go()
        self._scheduler.close()

    def _step(self) -> None:
        try:
            steps = self._scheduler.step()
        except Exception as error:
            logger.exception("the networks failed: %d sessions end", len(self._queues))
            with self._lock:
                queues, self._queues = list(self._queues.values()), {}
            for blocks in queues:
                blocks.put(MachineError(str(error)))
            return
        for ticket, step in steps:
            with self._lock:
                ended = isinstance(step, SessionEnd)
                found = self._queues.pop(ticket, None) if ended else self._queues.get(ticket)
            if found is None:
                continue
            if isinstance(step, SessionEnd):
                found.put(step.error)
            elif not found.put(step):
                self.leave(ticket)

    def _let_go(self) -> None:
        with self._lock:
            left, self._left = self._left, []
        for blocks in left:
            blocks.put(Abandoned())
