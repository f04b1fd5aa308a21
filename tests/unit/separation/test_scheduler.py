from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from uss_ray.errors import RecordingError
from uss_ray.separation.networks import Row, TagRow
from uss_ray.separation.scheduler import Request, Scheduler, Session, SessionEnd, Ticket


class Echo:
    """Networks that answer a row with its own samples, and note the rows of each forward."""

    def __init__(self, batch_size: int = 1) -> None:
        self.batch_size = batch_size
        self.batches: list[list[float]] = []
        self.fault: Exception | None = None

    def forward(self, rows: Sequence[Row]) -> list[Tensor]:
        if self.fault is not None:
            raise self.fault
        assert len({row.shape for row in rows}) == 1
        assert 1 <= len(rows) <= self.batch_size
        waveforms = [row.waveform for row in rows if isinstance(row, TagRow)]
        self.batches.append([float(waveform[0]) for waveform in waveforms])
        return waveforms


def scheduler_of(networks: Echo) -> Scheduler[str]:
    return Scheduler(networks)  # type: ignore[arg-type]


def row(value: float, *, samples: int = 3) -> TagRow:
    return TagRow(torch.full((samples,), float(value)))


def asking(*requests: Sequence[TagRow]) -> Session[str]:
    """Ask, and give the answers of each request as one result."""
    for rows in requests:
        answers = yield Request(rows)
        yield " ".join(str(int(answer[0])) for answer in answers or [])


def numbered(first: int, count: int, **options: int) -> list[TagRow]:
    return [row(first + place, **options) for place in range(count)]


def finish(scheduler: Scheduler[str]) -> list[tuple[Ticket, str | SessionEnd]]:
    results = []
    while len(scheduler):
        results += scheduler.step()
    return results


def of(results: Sequence[tuple[Ticket, str | SessionEnd]], ticket: Ticket) -> list[str | SessionEnd]:
    return [result for other, result in results if other == ticket]


# Turns


def test_a_session_that_asks_for_many_rows_does_not_keep_another_waiting() -> None:
    networks = Echo()
    scheduler = scheduler_of(networks)
    long, short = (
        scheduler.submit(asking(numbered(0, 20))),
        scheduler.submit(asking(numbered(100, 2), [row(102)])),
    )
    results = finish(scheduler)
    assert of(results, short) == ["100 101", "102", SessionEnd()]
    assert of(results, long) == [" ".join(map(str, range(20))), SessionEnd()]
    assert [value for [value] in networks.batches[:6]] == [0, 100, 1, 101, 2, 102]


def test_the_rows_of_a_batch_come_from_sessions_in_turn() -> None:
    networks = Echo(4)
    scheduler = scheduler_of(networks)
    for first in (0, 100, 200):
        scheduler.submit(asking(numbered(first, 3)))
    finish(scheduler)
    assert networks.batches[0] == [0, 100, 200, 1]
    assert sorted(value for batch in networks.batches for value in batch) == [
        0,
        1,
        2,
        100,
        101,
        102,
        200,
        201,
        202,
    ]
    assert [len(batch) for batch in networks.batches] == [4, 4, 1]


def test_answers_come_in_the_order_of_the_rows_whatever_their_shapes() -> None:
    networks = Echo(2)
    scheduler = scheduler_of(networks)
    mixed = [row(1), row(2, samples=5), row(3), row(4, samples=5), row(5)]
    ticket = scheduler.submit(asking(mixed))
    assert of(finish(scheduler), ticket) == ["1 2 3 4 5", SessionEnd()]


def test_full_batches_go_first_but_a_lone_row_is_not_kept_waiting_for_ever() -> None:
    networks = Echo(4)
    scheduler = scheduler_of(networks)
    lone = scheduler.submit(asking([row(-1, samples=7)]))
    scheduler.submit(asking(numbered(0, 100)))
    results: list[tuple[Ticket, str | SessionEnd]] = []
    while not of(results, lone):
        results += scheduler.step()
    assert networks.batches.index([-1]) == 8
    assert {len(batch) for batch in networks.batches} == {1, 4}


def test_a_step_gives_a_session_at_most_one_result() -> None:
    def talkative() -> Session[str]:
        yield from map(str, range(3))

    scheduler = scheduler_of(Echo())
    ticket = scheduler.submit(talkative())
    steps = [scheduler.step() for _ in range(4)]
    assert steps == [[(ticket, "0")], [(ticket, "1")], [(ticket, "2")], [(ticket, SessionEnd())]]
    assert (len(scheduler), scheduler.step()) == (0, [])


def test_inference_mode_is_on_inside_a_session_and_nowhere_else() -> None:
    def session() -> Session[str]:
        yield str(torch.is_inference_mode_enabled())

    scheduler = scheduler_of(Echo())
    scheduler.submit(session())
    assert finish(scheduler)[0][1] == "True"
    assert not torch.is_inference_mode_enabled()


# Coming and going


def test_sessions_join_and_leave_between_forwards_and_the_others_do_not_notice() -> None:
    networks = Echo(2)
    alone = scheduler_of(Echo(2))
    ticket = alone.submit(asking(numbered(0, 5), numbered(10, 3)))
    expected = of(finish(alone), ticket)

    scheduler = scheduler_of(networks)
    first = scheduler.submit(asking(numbered(0, 5), numbered(10, 3)))
    results = scheduler.step() + scheduler.step()
    second, third = (scheduler.submit(asking(numbered(n, 4))) for n in (100, 200))
    results += scheduler.step() + scheduler.step()
    scheduler.cancel(third)
    results += finish(scheduler)
    assert of(results, first) == expected
    assert of(results, second) == ["100 101 102 103", SessionEnd()]
    assert of(results, third) == []


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_cancelled_session_is_closed_and_what_it_holds_is_free(
    steps: int, request: pytest.FixtureRequest
) -> None:
    gc.freeze()  # what all tests have loaded holds nothing of it, and takes half a second to look through
    request.addfinalizer(gc.unfreeze)
    closed = []

    def session(sound: np.ndarray) -> Session[str]:
        try:
            while True:
                yield Request([TagRow(torch.from_numpy(sound))])
                yield "more"
        finally:
            closed.append(True)

    sound = np.zeros(10, np.float32)
    held = weakref.ref(sound)
    scheduler = scheduler_of(Echo())
    ticket = scheduler.submit(session(sound))
    del sound
    for _ in range(steps):
        scheduler.step()
    scheduler.cancel(ticket)
    assert len(scheduler) == 0
    assert scheduler.wait(0), "there is something to let go of"
    assert scheduler.step() == []
    gc.collect()
    assert held() is None
    assert closed == [True] * (steps > 0)
    assert not scheduler.wait(0)
    scheduler.cancel(ticket)


def test_sessions_come_from_other_threads_while_one_steps() -> None:
    scheduler = scheduler_of(Echo(4))
    stop = threading.Event()
    results: dict[Ticket, list[str | SessionEnd]] = {}

    def loop() -> None:
        while not stop.is_set():
            if scheduler.wait(0.01):
                for ticket, result in scheduler.step():
                    results.setdefault(ticket, []).append(result)

    submitted: dict[Ticket, tuple[int, int]] = {}
    cancelled = set()

    def client(name: int) -> None:
        for turn in range(30):
            first, count = 1000 * name + 10 * turn, 1 + turn % 5
            ticket = scheduler.submit(asking(numbered(first, count, samples=1 + turn % 3)))
            submitted[ticket] = (first, count)
            if turn % 7 == 3:
                scheduler.cancel(ticket)
                cancelled.add(ticket)

    threads = [threading.Thread(target=client, args=(name,)) for name in range(4)]
    stepping = threading.Thread(target=loop)
    stepping.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drained = threading.Event()
    while len(scheduler):
        drained.wait(0.001)
    stop.set()
    stepping.join()
    assert len(submitted) == 120
    for ticket, (first, count) in submitted.items():
        if ticket not in cancelled:
            expected = " ".join(str(first + place) for place in range(count))
            assert results[ticket] == [expected, SessionEnd()]


def test_who_waits_is_woken_by_a_session_that_comes() -> None:
    scheduler = scheduler_of(Echo())
    assert not scheduler.wait(0)
    woken = threading.Thread(target=scheduler.wait)
    woken.start()
    scheduler.submit(asking([row(1)]))
    woken.join(timeout=300)
    assert not woken.is_alive()


def test_all_sessions_can_be_ended() -> None:
    scheduler = scheduler_of(Echo())
    scheduler.submit(asking(numbered(0, 5)))
    scheduler.step()
    scheduler.submit(asking(numbered(0, 5)))
    scheduler.close()
    assert (len(scheduler), scheduler.step()) == (0, [])


# Isolation


def failing(turns: int, *, at: int) -> Session[str]:
    for turn in range(turns):
        if turn == at:
            raise RecordingError(f"turn {turn}", expected="sound", found="a fault")
        yield from asking([row(turn)])


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_session_that_fails_ends_alone_and_says_why(at: int) -> None:
    scheduler = scheduler_of(Echo(4))
    before = scheduler.submit(asking([row(7)], [row(8)], [row(9)]))
    broken = scheduler.submit(failing(3, at=at))
    after = scheduler.submit(asking([row(7)], [row(8)], [row(9)]))
    results = finish(scheduler)
    *given, end = of(results, broken)
    assert given == [str(turn) for turn in range(at)]
    assert isinstance(end, SessionEnd)
    assert isinstance(end.error, RecordingError)
    assert f"turn {at}" in str(end.error)
    for ticket in (before, after):
        assert of(results, ticket) == ["7", "8", "9", SessionEnd()]


def test_a_fault_of_the_networks_is_no_sessions_own_and_ends_all() -> None:
    networks = Echo(4)
    scheduler = scheduler_of(networks)
    for _ in range(2):
        scheduler.submit(asking([row(1)], [row(2)]))
    scheduler.step()
    networks.fault = RuntimeError("out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        finish(scheduler)
    assert len(scheduler) == 0
    networks.fault = None
    ticket = scheduler.submit(asking([row(3)]))
    assert of(finish(scheduler), ticket) == ["3", SessionEnd()], "it can be used again"


def test_an_interruption_stops_all_sessions() -> None:
    def interrupted() -> Iterator[str]:
        yield "first"
        raise KeyboardInterrupt

    scheduler = scheduler_of(Echo())
    scheduler.submit(interrupted())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        finish(scheduler)
