"""What a job must leave behind on a Ray that goes on: nothing."""

from __future__ import annotations

import time

import ray

from uss_ray.pipelines.runtime.cluster import _actors as actors_of_ray
from uss_ray.pipelines.runtime.run_state import RunState


def wait_until_cpus_are_free() -> None:
    """Wait until nobody holds a CPU."""
    until = time.monotonic() + 300
    while held := ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0.0):
        assert time.monotonic() < until, f"{held} CPUs are held"
        time.sleep(0.2)


def wait_until_all_is_free() -> None:
    """Wait until nobody holds a CPU, and no state of a run is there any more."""
    wait_until_cpus_are_free()
    until = time.monotonic() + 300
    while any(actor.class_name == RunState.__name__ for actor in actors_of_ray("ALIVE")):
        assert time.monotonic() < until, "the state of a run is there"
        time.sleep(0.2)
