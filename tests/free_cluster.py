"""What a job must leave behind on a Ray that goes on: nothing."""

from __future__ import annotations

import time

import ray

from uss_ray.pipelines.runtime.cluster import _actors as actors_of_ray
from uss_ray.pipelines.runtime.run_state import RunState


def wait_until_all_is_free() -> None:
    """Wait until nobody holds a CPU, and no actor of a run is there any more."""
    until = time.monotonic() + 300
    while True:
        held = ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0.0)
        states = sum(actor.class_name == RunState.__name__ for actor in actors_of_ray("ALIVE"))
        if not held and not states:
            return
        assert time.monotonic() < until, f"{held} CPUs and {states} states of runs are held"
        time.sleep(0.2)
