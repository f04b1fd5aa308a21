"""What a job must leave behind on a Ray that goes on: nothing."""

from __future__ import annotations

import time
from collections.abc import Set

import ray

from uss_ray.pipelines.runtime.cluster import _actors as actors_of_ray
from uss_ray.pipelines.runtime.run_state import RunState


def states_of_runs() -> frozenset[str]:
    """Give the ids of the actors that hold the state of a run."""
    return frozenset(
        actor.actor_id.hex() for actor in actors_of_ray("ALIVE") if actor.class_name == RunState.__name__
    )


def wait_until_all_is_free(*, but: Set[str] = frozenset()) -> None:
    """Wait until nobody holds a CPU, and no state of a run is there any more but those of others."""
    until = time.monotonic() + 300
    while True:
        held = ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0.0)
        states = len(states_of_runs() - but)
        if not held and not states:
            return
        assert time.monotonic() < until, f"{held} CPUs and {states} states of runs are held"
        time.sleep(0.2)
