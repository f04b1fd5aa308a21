"""What is free, who holds the rest, and the wait for a pool; Ray's answers are given here."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from uss_ray.pipelines.runtime import cluster
from uss_ray.pipelines.runtime.cluster import crashing, living, own_actors, read_resources, wait_for_pool
from uss_ray.pipelines.runtime.pool import LIGHT_CPUS, Resources, plan_pool
from uss_ray.pipelines.runtime.stopping import StopRequest


def actor(name, job, *, number=0, num_restarts=0, **resources):
    return SimpleNamespace(
        num_restarts=num_restarts,
        address=SimpleNamespace(ip_address="10.0.0.5"),
        class_name=name,
        job_id=bytes.fromhex(job),
        actor_id=bytes([number]),
        required_resources=resources,
    )


@pytest.fixture
def ray_says(monkeypatch):
    """Answers of a cluster of four CPUs, one GPU, and our own job 01."""
    answers = {
        "total": {"CPU": 4.0, "GPU": 1.0, "memory": 8e9},
        "free": {"CPU": 3.0},
        "ALIVE": [],
        "PENDING_CREATION": [],
    }
    monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: answers["total"])
    monkeypatch.setattr(cluster.ray, "available_resources", lambda: answers["free"])
    monkeypatch.setattr(cluster.ray, "get_runtime_context", lambda: SimpleNamespace(get_job_id=lambda: "01"))
    monkeypatch.setattr(cluster, "_actors", lambda state: answers[state])
    monkeypatch.setattr(cluster, "_drivers", lambda: {"02": "app.py"})
    monkeypatch.setattr(cluster, "_is_shared", lambda: False)
    return answers


def test_what_others_hold_is_told_by_who_holds_most(ray_says):
    ray_says["ALIVE"] = [
        *[actor("Replica", "02", CPU=0.1) for _ in range(3)],
        actor("Trainer", "03", CPU=1.0, GPU=1.0),
        actor("Ours", "01", CPU=1.0),
        actor("Idle", "02"),
    ]
    resources = read_resources()
    assert (resources.cpus, resources.free_cpus, resources.gpus, resources.free_gpus) == (4.0, 3.0, 1.0, 0.0)
    assert resources.memory == 8_000_000_000
    assert resources.holders == (
        "Trainer of job 03 (1 CPUs, 1 GPUs)",
        "3 × Replica of app.py (0.3 CPUs)",
    )


def test_room_is_left_for_other_jobs_of_this_house_and_for_who_asked_before(ray_says):
    ray_says["ALIVE"] = [actor("RunState", "02"), actor("RunState", "02"), actor("RunState", "01")]
    ray_says["ALIVE"] += [
        actor("Worker", "02", CPU=0.5),
        actor("RunState", "04"),
    ]  # which waits for room itself
    ray_says["PENDING_CREATION"] = [actor("Worker", "03", CPU=0.5), actor("Worker", "01", CPU=9.0)]
    assert read_resources().free_cpus == 3.0 - LIGHT_CPUS - 0.5


def test_a_cluster_that_tells_nothing_of_actors_is_planned_with_what_is_free(ray_says, monkeypatch):
    def refuse(_state):
        raise AttributeError

    monkeypatch.setattr(cluster, "_actors", refuse)
    assert read_resources().free_cpus == 3.0
    assert living(["a", "b"]) == 2


def test_actors_at_work_count_while_they_live(ray_says):
    ray_says["ALIVE"] = [actor("Worker", "01", number=10), actor("Worker", "01", number=11)]
    assert living(["0a", "0c"]) == 1


@pytest.mark.parametrize(
    ("ours", "found"),
    [
        ({"num_restarts": 3, "CPU": 1.0}, {"10.0.0.5": 4}),
        ({"num_restarts": 2, "CPU": 1.0}, {}),
        ({"num_restarts": 9}, {}),  # the state of the run
    ],
)
def test_an_actor_that_dies_again_and_again_is_found(ray_says, ours, found):
    ray_says["RESTARTING"] = [
        actor("Worker", "02", number=1, num_restarts=9, CPU=1.0),
        actor("Worker", "01", **ours),
    ]
    assert crashing(restarts=3) == found


def test_actors_of_an_earlier_pass_are_not_taken_for_workers_that_are_never_ready(ray_says):
    ray_says |= {"RESTARTING": [], "ALIVE": [actor("Worker", "01", number=7, num_restarts=3, CPU=1.0)]}
    earlier = own_actors()
    assert earlier == {"07"}
    assert crashing(restarts=3, but=earlier) == {}
    ray_says["RESTARTING"] = [actor("Worker", "01", number=8, num_restarts=3, CPU=1.0)]
    assert crashing(restarts=3, but=earlier) == {"10.0.0.5": 4}


@pytest.fixture
def clock(monkeypatch):
    """Time passes by sleeping."""
    now = [0.0]
    # Not of the whole process: threads of others sleep too.
    passing = SimpleNamespace(
        monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    monkeypatch.setattr(cluster, "time", passing)
    return now


def told(monkeypatch, *resources):
    """Give one answer after another, the last for ever."""
    answers = list(resources)
    monkeypatch.setattr(cluster, "read_resources", lambda: answers.pop(0) if len(answers) > 1 else answers[0])


def test_a_pool_that_has_room_starts_at_once(clock, monkeypatch, ray_says):
    told(monkeypatch, Resources.unshared(cpus=4.0))
    with wait_for_pool(plan_pool, stop=StopRequest()) as pool:
        assert pool.actors == 3
    assert clock[0] == 0.0


def test_a_smaller_pool_starts_when_it_does_not_get_better(clock, monkeypatch, ray_says):
    told(monkeypatch, Resources(cpus=4.0, free_cpus=2.0))
    with wait_for_pool(plan_pool, stop=StopRequest()) as pool:
        assert pool.actors == 1
    assert 2.0 < clock[0] < 5.0


def test_what_a_job_before_held_is_back_in_a_moment(clock, monkeypatch, ray_says):
    told(monkeypatch, Resources(cpus=4.0, free_cpus=1.0), Resources.unshared(cpus=4.0))
    with wait_for_pool(plan_pool, stop=StopRequest()) as pool:
        assert pool.actors == 3


def test_the_wait_is_told_within_ten_seconds_and_now_and_then(clock, monkeypatch, ray_says, caplog):
    busy = Resources(cpus=4.0, free_cpus=0.1, holders=("Model of app.py (3.9 CPUs)",))
    told(monkeypatch, *[busy] * 140, Resources.unshared(cpus=4.0))
    with caplog.at_level(logging.WARNING), wait_for_pool(plan_pool, stop=StopRequest()) as pool:
        assert pool.actors == 3
    assert (
        caplog.messages
        == ["waiting for 0.85 CPUs: 0.1 of 4 are free, held by Model of app.py (3.9 CPUs)"] * 3
    )


def test_a_stop_ends_the_wait(clock, monkeypatch, ray_says):
    stop = StopRequest()
    told(monkeypatch, Resources(cpus=4.0, free_cpus=0.0))
    monkeypatch.setattr(cluster.time, "sleep", lambda _: setattr(stop, "signal_number", 15))
    with wait_for_pool(plan_pool, stop=stop) as pool:
        assert pool is None


def test_one_job_at_a_time_plans(clock, monkeypatch, ray_says, caplog):
    """Another has the turn, and gives it back later."""
    from contextlib import contextmanager

    @contextmanager
    def turn():
        yield clock[0] > 5.0

    monkeypatch.setattr(cluster, "_turn", turn)
    told(monkeypatch, Resources.unshared(cpus=4.0))
    with caplog.at_level(logging.WARNING), wait_for_pool(plan_pool, stop=StopRequest()) as pool:
        assert pool.actors == 3
    assert clock[0] > 5.0
    assert caplog.messages == ["waiting: another job starts"]
