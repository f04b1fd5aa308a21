"""A cluster of a test's own: one machine, or several that are all this one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ray.cluster_utils import Cluster

from uss_ray.pipelines.runtime.local_start import starting_locally

_NODE = {
    "object_store_memory": 200 << 20,
    # No test looks at what they do, and each is a process that takes a second to start.
    "include_dashboard": False,
    "include_log_monitor": False,
    "no_monitor": True,
}
# A node counts as lost after five questions without an answer. One that is dead refuses each at once, so that the time
# between them is all that it takes; one that is slow still has ten seconds for each.
_LOOKS = {"health_check_period_ms": 500, "health_check_initial_delay_ms": 500}


@contextmanager
def own_cluster(*, cpus: int, others: tuple[int, ...] = ()) -> Iterator[Cluster]:
    """Start a cluster of a head of so many CPUs, and of other nodes; it ends with the block."""
    head = {"num_cpus": cpus, "_system_config": _LOOKS}
    with starting_locally():
        cluster = Cluster(initialize_head=True, head_node_args=head | _NODE)
    try:
        with starting_locally():
            for number in others:
                cluster.add_node(num_cpus=number, **_NODE)
        yield cluster
    finally:
        cluster.shutdown()
