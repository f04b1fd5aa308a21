"""Faults that pass are waited out, others are not, and the clock ends it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import threading
from collections.abc import Callable, Iterator

import pytest
import tenacity

from uss_ray.errors import ConfigError
from uss_ray.store import patience
from uss_ray.store.patience import Wait, patience_seconds, patiently, patiently_awaited, waiting_line

FIRST_WAIT_SECONDS = 0.01


class Clock:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tenacity, "time", clock)
    monkeypatch.setattr(tenacity.nap, "time", clock)
    monkeypatch.setattr(patience, "_FIRST_WAIT_SECONDS", FIRST_WAIT_SECONDS)
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "5")
    return clock


def failing(
    error: Exception, *, times: int, clock: Clock | None = None
) -> tuple[Callable[[], str], list[float]]:
    """Make an action that fails so many times; and when it was tried."""
    tried: list[float] = []

    def act() -> str:
        tried.append(clock.now if clock else 0.0)
        if len(tried) <= times:
            raise error
        return "done"

    return act, tried


def test_a_fault_that_passes_is_waited_out() -> None:
    act, tried = failing(ConnectionResetError(), times=4)
    assert patiently(act) == "done"
    assert len(tried) == 5


def test_an_awaited_action_is_repeated_too() -> None:
    act, tried = failing(ConnectionResetError(), times=2)

    async def awaited() -> str:
        return act()

    async def run() -> str:
        return await patiently_awaited(awaited)

    assert asyncio.run(run()) == "done"
    assert len(tried) == 3


def test_a_fault_that_stays_is_raised_at_once_and_unchanged() -> None:
    error = FileNotFoundError("a.wav")
    act, tried = failing(error, times=1)
    with pytest.raises(FileNotFoundError) as caught:
        patiently(act)
    assert caught.value is error
    assert len(tried) == 1


def test_patience_ends_with_its_last_fault(clock: Clock) -> None:
    act, tried = failing(ConnectionResetError("gone"), times=1_000_000, clock=clock)
    with pytest.raises(ConnectionResetError, match="gone"):
        patiently(act)
    assert tried[-2] - tried[0] < 5 <= tried[-1] - tried[0]
    assert len(tried) > 3


def test_nothing_is_waited_for_once_the_end_is_wanted(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(patience, "_LOOK_SECONDS", 0.0)
    wanted = []
    patience.hurry_if(lambda: bool(wanted))
    try:
        tried = []

        def act() -> None:
            tried.append(clock.now)
            wanted.extend([True] * (len(tried) == 3))
            patience._look_whether_to_hurry()
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            patiently(act)
        assert len(tried) == 3
        patience.hurry_if(None)  # the next run
        with pytest.raises(ConnectionResetError):
            patiently(act)
        assert len(tried) > 6
    finally:
        patience.hurry_if(None)


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run that is to end, whatever its requests take."""
    monkeypatch.setattr(patience, "_GLANCE_SECONDS", 0.01)
    monkeypatch.setattr(patience, "_LAST_SECONDS", 300.0)
    monkeypatch.setattr(patience, "_SILENT_SECONDS", 300.0)
    patience.hurry_if(lambda: True)
    patience._hurried.set()
    yield
    patience.hurry_if(None)


@pytest.mark.usefixtures("stopping")
def test_a_request_without_an_answer_is_given_up_once_the_end_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never, ended = threading.Event(), []

    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(True)

    async def run() -> None:
        await patiently_awaited(hang)

    for wait in (lambda: patiently(never.wait), lambda: asyncio.run(run())):
        with monkeypatch.context() as hasty:
            hasty.setattr(patience, "_LAST_SECONDS", 0.1)
            hasty.setattr(patience, "_SILENT_SECONDS", 0.05)
            with pytest.raises(patience.CutShortError, match="the run is to end"):
                wait()
        assert patience._answered_at == -math.inf  # so the next one is waited for less long
        assert patiently(lambda: "an answer") == "an answer"
        assert patience._answered_at > 0
    never.set()
    assert ended == [True]


@pytest.mark.usefixtures("stopping")
def test_a_fault_of_a_request_is_raised_as_it_is_in_a_run_that_is_to_end() -> None:
    act, tried = failing(ConnectionResetError(), times=3)
    with pytest.raises(ConnectionResetError):
        patiently(act)
    assert len(tried) == 1


def test_no_patience_is_one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "0")
    act, tried = failing(ConnectionResetError(), times=1)
    with pytest.raises(ConnectionResetError):
        patiently(act)
    assert len(tried) == 1


def test_what_is_worth_repeating_can_be_said() -> None:
    act, tried = failing(KeyError("x"), times=2)
    assert patiently(act, worth_repeating=lambda error: isinstance(error, KeyError)) == "done"
    assert len(tried) == 3


def test_waits_grow_and_differ(clock: Clock) -> None:
    act, tried = failing(ConnectionResetError(), times=7, clock=clock)
    patiently(act)
    waits = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert len({round(wait, 5) for wait in waits}) > 1
    assert all(wait <= FIRST_WAIT_SECONDS * 2**number for number, wait in enumerate(waits))


def test_the_environment_is_read_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert patience_seconds() == 5
    monkeypatch.delenv("USS_RAY_STORAGE_PATIENCE_SECONDS")
    assert patience_seconds() == 300
    for wrong in ("soon", "-1", "inf", "nan"):
        monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", wrong)
        with pytest.raises(ConfigError, match="USS_RAY_STORAGE_PATIENCE_SECONDS"):
            patience_seconds()


def test_a_given_patience_goes_before_the_environment() -> None:
    assert patience_seconds(7) == 7
    act, tried = failing(ConnectionResetError(), times=1)
    with pytest.raises(ConnectionResetError):
        patiently(act, seconds=0)
    assert len(tried) == 1


def test_what_is_waited_for_is_told_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    act, _ = failing(ConnectionResetError("http://me:geheim@store dropped"), times=1)
    with caplog.at_level(logging.INFO):
        patiently(act)
    assert "the store fails" in caplog.text
    assert "store dropped" in caplog.text
    assert "geheim" not in caplog.text


@pytest.mark.parametrize(
    ("waits", "line"),
    [
        ([], None),
        ([Wait(100.0, 300.0)], None),
        (
            [Wait(100.0, 300.0), Wait(90.0, 300.0, "no permission")],
            "waiting for the store since 00:16:30 UTC (no permission), at most until 00:21:30 UTC before it "
            "counts as a fault",
        ),
        (
            [Wait(92.0, 300.0)],
            "waiting for the store since 00:16:32 UTC (not answered yet), what fails is tried again until "
            "00:21:32 UTC",
        ),
    ],
)
def test_who_waits_long_says_since_when_and_until_when(waits: list[Wait], line: str | None) -> None:
    assert waiting_line(waits, now=100.0, wall=1000.0) == line


def test_who_waits_says_for_what_without_its_secrets() -> None:
    wait = Wait(90.0, 300.0, place="https://me:geheim@host/a.bin")
    line = waiting_line([wait], now=100.0, wall=1000.0)
    assert line is not None
    assert line.startswith(
        "waiting for the store since 00:16:30 UTC (https://***@host/a.bin: not answered yet), what"
    )


def test_what_is_wrong_with_a_request_is_told_of_what_it_is_a_part_of() -> None:
    told: list[str] = []

    def fail_within() -> None:
        act, _ = failing(ConnectionRefusedError(111, "Connection refused"), times=1)
        patiently(act)
        told.extend(wait.found for wait in patience._waits.values())

    async def run() -> None:
        async def fail() -> None:
            fail_within()

        await patiently_awaited(fail)

    patiently(fail_within)
    asyncio.run(run())
    assert told == ["Connection refused"] * 2


@pytest.mark.usefixtures("stopping")
def test_so_it_is_in_a_thread_that_may_be_left_alone() -> None:
    patience._hurried.clear()
    told: list[str] = []

    def fail_within() -> None:
        act, _ = failing(ConnectionRefusedError(111, "Connection refused"), times=1)
        patiently(act)
        told.extend(wait.found for wait in patience._waits.values())

    patiently(fail_within)
    assert told == ["Connection refused"]


def test_what_brings_bytes_is_not_waited_for() -> None:
    came = [0]
    wait = Wait(90.0, 300.0, found="connection reset", heard=lambda: came[0], heard_last=0)
    wait.listen(100.0)
    assert waiting_line([wait], now=100.0, wall=1000.0) is not None
    came[0] += 1
    wait.listen(100.0)
    assert waiting_line([wait], now=100.0, wall=1000.0) is None
    line = waiting_line([wait], now=110.0, wall=1000.0)
    assert line is not None
    assert "(not answered yet)" in line


def test_a_request_that_hangs_is_told_of_while_it_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()
    monkeypatch.setattr(patience, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(patience, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(patience, "_watched_in", None)
    monkeypatch.setattr(patience.logger, "warning", lambda *_: told.set())
    assert patiently(lambda: told.wait(300.0))
    assert not patience._waits
