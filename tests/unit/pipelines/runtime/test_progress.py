"""A run that stands still says what it waits for, and says nothing while it works."""

from __future__ import annotations

import pytest

from tests.clock import set_clock
from uss_ray.pipelines.runtime.pool import Resources, WorkerPool
from uss_ray.pipelines.runtime.progress import Standstill, Warnings
from uss_ray.pipelines.runtime.run_state import RunState

POOL = WorkerPool(actors=1, threads=1, cpus_per_actor=1.0, gpus_per_actor=0.0)
HELD = Resources(cpus=2.0, free_cpus=0.5, holders=("Model of job 02 (1.5 CPUs)",))
FREE = Resources.unshared(cpus=2.0)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def line(standstill, resources=HELD, *, workers=0, busy=0):
    return standstill.line(workers=workers, busy=busy, resources=lambda: resources)


def test_what_is_missing_is_said_within_ten_seconds_and_not_at_once(clock):
    standstill = Standstill(POOL, clock=clock)
    assert line(standstill) is None
    clock.now = 9.0
    assert line(standstill) == (
        "waiting for 1.75 CPUs: 0.5 of 2 are free, held by Model of job 02 (1.5 CPUs)"
    )
    assert line(standstill) is None
    clock.now = 40.0
    assert line(standstill) is not None


def test_workers_that_are_there_need_only_somebody_who_decodes(clock):
    standstill = Standstill(POOL, clock=clock)
    clock.now = 9.0
    assert line(standstill, workers=1).startswith("waiting for 0.75 CPUs")


def test_a_sign_of_life_begins_the_wait_anew(clock):
    standstill = Standstill(POOL, clock=clock)
    clock.now = 9.0
    standstill.note_sign()
    assert line(standstill) is None
    clock.now = 18.0
    assert line(standstill) is not None


def test_nothing_stands_still_while_a_worker_is_busy(clock):
    standstill = Standstill(POOL, clock=clock)
    clock.now = 1000.0
    assert line(standstill, busy=1) is None


def test_what_is_not_free_may_be_our_own(clock):
    standstill = Standstill(POOL, clock=clock)
    clock.now = 9.0
    assert line(standstill, Resources(cpus=2.0, free_cpus=0.5)) is None


def test_a_run_that_lacks_no_cpu_speaks_within_fifteen_seconds(clock):
    standstill = Standstill(POOL, clock=clock)
    clock.now = 11.0
    assert line(standstill, FREE) is None
    clock.now = 13.0
    assert "workers that load since " in line(standstill, FREE)


def test_gpus_that_others_hold_are_told(clock):
    standstill = Standstill(
        WorkerPool(actors=1, threads=1, cpus_per_actor=1, gpus_per_actor=0.25), clock=clock
    )
    clock.now = 9.0
    resources = Resources(
        cpus=8.0, free_cpus=8.0, gpus=1.0, free_gpus=0.0, holders=("Model of job 02 (1 GPUs)",)
    )
    assert line(standstill, resources).startswith("waiting for 0.25 GPUs: 0 of 1")


def test_what_workers_warn_of_is_said_once_in_a_while(clock, caplog):
    warnings = Warnings(clock=clock)
    state = RunState()
    for second in range(30):
        clock.now = float(second)
        for worker in ("process 1 on a", "process 2 on b"):
            state.note(
                "uss_ray.store.patience", f"waiting for the store since 15:03:10 UTC ({second})", worker
            )
        warnings.say(state.look())
    assert caplog.messages == [
        f"waiting for the store since 15:03:10 UTC ({second}) (told by 2 workers)" for second in (0, 15)
    ]
    assert state.look().notes == ()


def test_workers_that_crash_are_told_when_it_has_become_twice_as_often(clock, caplog):
    warnings = Warnings(clock=clock)
    for deaths in (4, 5, 7, 8, 15, 16):
        warnings.say_who_crashes({"10.0.0.5": deaths})
    assert [line.partition(" times")[0] for line in caplog.messages] == [
        f"a worker on 10.0.0.5 has died {deaths}" for deaths in (4, 8, 16)
    ]


def test_notes_are_no_sign_of_life():
    state = RunState()
    before = state.look()
    state.note("store", "away", "process 1 on a")
    assert state.look() == before


def test_a_busy_worker_that_is_not_heard_of_is_named(clock, caplog, monkeypatch):
    monkeypatch.setattr("uss_ray.pipelines.runtime.progress.living", len)
    now = [100.0]
    set_clock(monkeypatch, "uss_ray.pipelines.runtime.run_state", monotonic=lambda: now[0])
    state = RunState()
    for worker in ("a", "b"):
        state.join(worker)
        state.hear(worker, f"process {worker} on host")
    state.begin("a")
    now[0] += 9.0
    assert state.look().silent == ()
    now[0] += 3.0
    look = state.look()
    assert look.silent == (("a", "process a on host", 12.0),)
    Warnings(clock=clock).say(look)
    assert caplog.messages[0].startswith("process a on host does not answer since ")
    state.hear("a", "process a on host")
    assert state.look().silent == ()
