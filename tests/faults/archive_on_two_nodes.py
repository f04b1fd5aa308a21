"""`uss-ray archive` on a cluster of two nodes, one of which is lost in the middle of its work.

`python -m tests.faults.archive_on_two_nodes FOLDER INPUT OUTPUT [options]`: the first unit of work that begins on the
second node waits at the gate in FOLDER; then that node's processes are killed with SIGKILL.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
from ray._private.node import Node
from ray.cluster_utils import Cluster

from tests.faults.disturbances import LOOK_SECONDS, DisturbedSeparator, Gate
from tests.own_cluster import own_cluster
from uss_ray.cli.main import main
from uss_ray.pipelines.archive import job

HEAD_CPUS = "TEST_HEAD_CPUS"
"""Name in the environment: CPUs of the node that stays."""


def lose_when_busy(cluster: Cluster, node: Node, gate: Gate) -> None:
    """Remove a node with all its processes once it has work; then let all go on."""
    while node.node_id not in gate.nodes():
        time.sleep(LOOK_SECONDS)
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    workers = raylet.children(recursive=True)
    cluster.remove_node(node, allow_graceful=False)
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    psutil.wait_procs(workers)
    (gate.folder / "lost").touch()
    gate.open()


if __name__ == "__main__":
    name, folder, *arguments = sys.argv
    gate = Gate(Path(folder))
    head_cpus = int(os.environ.get(HEAD_CPUS, "3"))
    make_separator = partial(DisturbedSeparator, deed=gate)
    job.separate_archive = partial(job.separate_archive, make_separator=make_separator)
    with own_cluster(cpus=head_cpus, others=(2,)) as cluster:
        (other,) = cluster.worker_nodes
        threading.Thread(target=lose_when_busy, args=(cluster, other, gate), daemon=True).start()
        sys.argv = [name, "archive", *arguments, "--address", cluster.address]
        main()
