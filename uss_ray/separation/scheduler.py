"""Sessions of many recordings share the networks: they join and leave between two forwards, their rows go in turn.

Owns who goes next. What a session asks for and what it makes of the answers is its own business.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter, deque
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from uss_ray.separation.networks import Networks, Row

# So often in a row may full batches go before the session whose turn it is, where its own rows fill none.
_PASSED_OVER = 8


@dataclass(frozen=True)
class Request:
    """Rows for the networks: a session is sent one answer each, in order. Not empty."""

    rows: Sequence[Row]


@dataclass(frozen=True)
class SessionEnd:
    """What comes of a session last: None if it is complete, or why it could not go on."""

    error: Exception | None = None


Result = TypeVar("Result")
Session = Generator[Request | Result, list[Tensor] | None, None]
"""What asks: yields requests, to be sent their answers, and results, to be sent None."""

Ticket = int


class _Open(Generic[Result]):
    """A session between two steps, with the rows of its request that are still to be answered."""

    def __init__(self, ticket: Ticket, session: Session[Result]) -> None:
        self.ticket = ticket
        self.session = session
        self.waiting: dict[Hashable, deque[int]] = {}
        self._rows: Sequence[Row] = ()
        self._answers: list[Tensor | None] = []

    def take_row(self, shape: Hashable) -> tuple[int, Row]:
        places = self.waiting[shape]
        place = places.popleft()
        if not places:
            del self.waiting[shape]
        return place, self._rows[place]

    def answer(self, place: int, answer: Tensor) -> None:
        self._answers[place] = answer

    def advance(self) -> Result | SessionEnd | None:
        """Let the session go on with its answers; None if it asks for more."""
        answers = [answer for answer in self._answers if answer is not None] if self._rows else None
        self._rows, self._answers = (), []
        # Inference mode is entered for each step: held across a yield, it would reach into the caller's code.
        with torch.inference_mode():
            try:
                step = self.session.send(answers)
            except StopIteration:
                return SessionEnd()
            except Exception as error:  # noqa: BLE001 - whatever a source raises, the other sessions go on
                return SessionEnd(error)
        if not isinstance(step, Request):
            return step
        self._rows, self._answers = step.rows, [None] * len(step.rows)
        for place, row in enumerate(step.rows):
            self.waiting.setdefault(row.shape, deque()).append(place)
        return None


class Scheduler(Generic[Result]):
    """Let sessions share networks, one forward a step.

    `submit`, `cancel`, `wait` and `len` may be called from any thread at any time; `step` and `close` belong to one
    thread, the one that a session's own code runs in. What comes of a session does not depend, to the last bit, on the
    others: each row goes through in a batch of the same shape (docs/adr/0015, docs/adr/0030).

    Parameters
    ----------
    networks : Networks
        A forward takes `batch_size` rows of one shape, one of each session in turn, so that a session that asks for
        many does not keep one that asks for few waiting.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._tickets = itertools.count()
        self._in_turn: deque[_Open[Result]] = deque()
        self._passed_over = 0
        self._changed = threading.Condition()
        self._arrived: list[_Open[Result]] = []
        self._cancelled: set[Ticket] = set()
        self._live: set[Ticket] = set()

    def __len__(self) -> int:
        """Count the sessions that have not ended."""
        with self._changed:
            return len(self._live)

    def submit(self, session: Session[Result]) -> Ticket:
        """Take a session in; the next step begins it. It is ended by its own end, `cancel` or `close`."""
        with self._changed:
            ticket = next(self._tickets)
            self._arrived.append(_Open(ticket, session))
            self._live.add(ticket)
            self._changed.notify_all()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """End a session and let go of what it holds before the next forward; steps begun later tell nothing of it.

        One that has ended already is no fault.
        """
        with self._changed:
            if ticket in self._live:
                self._live.discard(ticket)
                self._cancelled.add(ticket)
                self._changed.notify_all()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Sleep until a step has something to do; False if the time has run out before."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._live or self._cancelled), timeout_seconds)

    def step(self) -> list[tuple[Ticket, Result | SessionEnd]]:
        """Do one forward and let the sessions go on whose requests are answered.

        Returns
        -------
        list of (Ticket, Result or SessionEnd)
            At most one for each session, so that a caller that is slow holds few. A session that raises ends alone:
            its `SessionEnd` says why. Empty if there is nothing to tell yet, or no session.

        Raises
        ------
        Exception
            What the networks raise, for it is no session's own fault. All sessions are closed then.
        """
        self._let_in_and_out()
        rows = self._next_rows()
        if rows:
            try:
                answers = self._networks.forward([row for _, _, row in rows])
            except BaseException:
                self.close()
                raise
            for (session, place, _), answer in zip(rows, answers, strict=True):
                session.answer(place, answer)
        return self._advance()

    def close(self) -> None:
        """End all sessions."""
        with self._changed:
            sessions = [*self._in_turn, *self._arrived]
            self._arrived, self._live, self._cancelled = [], set(), set()
        self._in_turn.clear()
        for session in sessions:
            session.session.close()

    def _let_in_and_out(self) -> None:
        with self._changed:
            self._in_turn.extend(self._arrived)
            self._arrived = []
            cancelled, self._cancelled = self._cancelled, set()
        if cancelled:
            leaving = [session for session in self._in_turn if session.ticket in cancelled]
            self._in_turn = deque(session for session in self._in_turn if session.ticket not in cancelled)
            for session in leaving:
                session.session.close()

    def _next_rows(self) -> list[tuple[_Open[Result], int, Row]]:
        """Take the rows of one forward, one of each session in turn while there are some of the shape."""
        shape = self._next_shape()
        rows: list[tuple[_Open[Result], int, Row]] = []
        served: list[_Open[Result]] = []
        while len(rows) < self._networks.batch_size:
            asking = [session for session in self._in_turn if shape in session.waiting]
            if not asking:
                break
            for session in asking[: self._networks.batch_size - len(rows)]:
                rows.append((session, *session.take_row(shape)))
                served.append(session)
        for session in dict.fromkeys(served):
            self._in_turn.remove(session)
            self._in_turn.append(session)
        return rows

    def _next_shape(self) -> Hashable:
        """Choose what goes next: rows of the session whose turn it is, or a full batch while theirs fill none."""
        first = next((shape for session in self._in_turn for shape in session.waiting), None)
        if first is None or self._networks.batch_size == 1:
            return first
        counts: Counter[Hashable] = Counter()
        for session in self._in_turn:
            counts.update({shape: len(places) for shape, places in session.waiting.items()})
        full = next((shape for shape, count in counts.items() if count >= self._networks.batch_size), None)
        if counts[first] >= self._networks.batch_size or full is None or self._passed_over >= _PASSED_OVER:
            self._passed_over = 0
            return first
        self._passed_over += 1
        return full

    def _advance(self) -> list[tuple[Ticket, Result | SessionEnd]]:
        results: list[tuple[Ticket, Result | SessionEnd]] = []
        for session in [session for session in self._in_turn if not session.waiting]:
            result = session.advance()
            if result is None:
                continue
            if isinstance(result, SessionEnd):
                self._in_turn.remove(session)
            with self._changed:
                is_wanted = session.ticket in self._live
                if isinstance(result, SessionEnd):
                    self._live.discard(session.ticket)
            if is_wanted:
                results.append((session.ticket, result))
        return results
