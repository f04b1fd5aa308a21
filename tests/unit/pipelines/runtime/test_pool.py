"""Pools are planned from what is free, and never take all of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from uss_ray.errors import ConfigError
from uss_ray.pipelines.runtime.pool import (
    LIGHT_CPUS,
    Resources,
    Shortage,
    WorkerPool,
    decoders_beside,
    plan_pool,
    refit_pool,
)


def alone(cpus, *, memory=None, gpus=0.0):
    return Resources.unshared(cpus=cpus, gpus=gpus, memory=memory)


@pytest.mark.parametrize(
    ("resources", "actors"),
    [
        (alone(17.0, memory=64_000_000_000), 16),  # one thread each, one CPU for those who decode
        (alone(17.0, memory=13_000_000_000), 8),
        (alone(2.0, memory=1_000_000_000), 1),
        (alone(17.0), 16),
        (alone(33.0, memory=256_000_000_000, gpus=4.0), 16),  # four share a GPU
        (alone(33.0, memory=20_000_000_000, gpus=4.0), 6),
        (alone(33.0, memory=2_000_000_000, gpus=4.0), 4),
        (alone(5.0, gpus=2.0), 4),
    ],
)
def test_as_many_workers_as_there_is_room_for_have_a_thread_each(resources, actors):
    pool = plan_pool(resources)
    assert (pool.actors, pool.threads) == (actors, 1)
    assert bool(pool.gpus_per_actor) == bool(resources.gpus)
    assert plan_pool(resources, threads=2).threads == 2


@pytest.mark.parametrize(("most", "actors"), [(None, 16), (100, 16), (3, 3), (1, 1), (0, 1)])
def test_no_more_workers_start_than_find_work(most, actors):
    resources = alone(17.0)
    pool = plan_pool(resources, most=most)
    assert (pool.actors, pool.threads, pool.cpus_per_actor) == (actors, 1, 1)
    assert plan_pool(resources, actors=5, most=most).actors == 5  # as it was asked for
    crowded = replace(resources, free_cpus=3.0)
    assert plan_pool(crowded, most=most).actors == min(actors, 2)


@pytest.mark.parametrize("cpus", [2.0, 3.0, 8.0])
def test_the_pool_leaves_a_cpu_to_those_who_decode(cpus):
    for actors in range(1, int(cpus)):
        pool = plan_pool(alone(cpus), actors=actors)
        assert pool.actors == actors
        assert pool.actors * pool.cpus_per_actor <= cpus - 1
    with pytest.raises(ConfigError, match="actors"):
        plan_pool(alone(cpus), actors=999)


def test_workers_that_share_a_gpu_never_want_more_than_it_has():
    resources = alone(65.0, memory=256_000_000_000, gpus=2.0)
    for sharing in range(1, 12):
        pool = plan_pool(resources, actors_per_gpu=sharing)
        assert pool.actors == 2 * sharing
        assert 0.99 < sharing * pool.gpus_per_actor <= 1.0
    assert plan_pool(resources, device="cpu").gpus_per_actor == 0
    assert plan_pool(resources, actors=3).actors == 3
    with pytest.raises(ConfigError, match="expected 1 to 2, for the 2 GPUs and 65 CPUs there are, found 3"):
        plan_pool(resources, actors=3, actors_per_gpu=1)


def test_a_cluster_may_start_its_gpus_later():
    pool = plan_pool(alone(1.0), actors=8, device="cuda")
    assert (pool.actors, pool.gpus_per_actor) == (8, 0.25)
    with pytest.raises(ConfigError, match="device cuda"):
        plan_pool(alone(1.0), device="cuda")


def test_ray_chooses_the_gpu_of_a_worker():
    with pytest.raises(ConfigError, match="device cuda:1: expected auto, cpu or cuda"):
        plan_pool(alone(4.0), device="cuda:1")


@pytest.mark.parametrize("cpus", [1.0, 2.0, 3.0, 4.0, 16.0])
@pytest.mark.parametrize("held", [0.0, 0.1, 0.3, 1.0, 2.5, 9.9])
def test_what_others_hold_is_left_to_them(cpus, held):
    free = max(0.0, cpus - held)
    pool = plan_pool(Resources(cpus=cpus, free_cpus=free))
    if isinstance(pool, Shortage):
        assert free < LIGHT_CPUS + 0.1
    else:
        assert pool.actors * pool.cpus_per_actor + LIGHT_CPUS <= free + 1e-9


def test_a_single_actor_takes_a_smaller_share_rather_than_none():
    small = plan_pool(Resources(cpus=2.0, free_cpus=1.0))
    assert (small.actors, small.cpus_per_actor) == (1, 0.25)
    nearly = plan_pool(Resources(cpus=2.0, free_cpus=1.9))  # a replica that holds a tenth
    assert (nearly.actors, nearly.cpus_per_actor) == (1, 1.0)


def test_a_number_of_actors_that_was_asked_for_is_waited_for():
    busy = Resources(cpus=8.0, free_cpus=3.0, holders=("3 × Model of job 02 (5 CPUs)",))
    assert plan_pool(busy).actors == 2
    short = plan_pool(busy, actors=4)
    assert str(short) == "waiting for 4.75 CPUs: 3 of 8 are free, held by 3 × Model of job 02 (5 CPUs)"


def test_a_shortage_says_what_is_missing():
    assert str(plan_pool(Resources(cpus=2.0, free_cpus=0.4))) == "waiting for 0.85 CPUs: 0.4 of 2 are free"
    gpus = Resources(
        cpus=16.0, free_cpus=16.0, gpus=1.0, free_gpus=0.0, holders=("Model of job 02 (1 GPUs)",)
    )
    assert str(plan_pool(gpus)) == "waiting for 0.25 GPUs: 0 of 1 are free, held by Model of job 02 (1 GPUs)"
    assert plan_pool(replace(gpus, free_gpus=0.5)).actors == 2


def test_a_pool_shrinks_with_its_cluster_to_one_and_no_less():
    pool = WorkerPool(actors=4, threads=1, cpus_per_actor=1.0, gpus_per_actor=0.0)
    assert refit_pool(pool, alone(8.0)) == pool
    assert refit_pool(pool, alone(3.0)).actors == 2
    assert refit_pool(pool, alone(1.0)).actors == 1
    shared = replace(pool, gpus_per_actor=0.25)
    assert refit_pool(shared, alone(8.0, gpus=0.5)).actors == 2


def test_decoders_take_what_the_actors_leave():
    pool = WorkerPool(actors=3, threads=1, cpus_per_actor=1.0, gpus_per_actor=0.0)
    assert decoders_beside(pool, alone(8.0)) == 10
    assert decoders_beside(pool, alone(3.0)) == 1
