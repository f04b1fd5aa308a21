"""A run that stands still says what it waits for, and says nothing while it works."""

from __future__ import annotations

import pytest

from uss_ray.pipelines.runtime.pool import Resources, WorkerPool
from uss_ray.pipelines.runtime.progress import Standstill

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


def test_a_run_that_lacks_no_cpu_speaks_after_a_minute(clock):
    standstill = Standstill(POOL, clock=clock)
    clock.now = 50.0
    assert line(standstill, FREE) is None
    clock.now = 61.0
    assert "workers that load" in line(standstill, FREE)


def test_gpus_that_others_hold_are_told(clock):
    standstill = Standstill(
        WorkerPool(actors=1, threads=1, cpus_per_actor=1, gpus_per_actor=0.25), clock=clock
    )
    clock.now = 9.0
    resources = Resources(
        cpus=8.0, free_cpus=8.0, gpus=1.0, free_gpus=0.0, holders=("Model of job 02 (1 GPUs)",)
    )
    assert line(standstill, resources).startswith("waiting for 0.25 GPUs: 0 of 1")
