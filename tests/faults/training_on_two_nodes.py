"""An elastic training run on two nodes, one of which is lost once there is a checkpoint; the run waits for that.

`python -m tests.faults.training_on_two_nodes FILE`: a file of settings of `uss-ray train separator`.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
from ray._private.node import Node
from ray.cluster_utils import Cluster

from tests.own_cluster import own_cluster
from tests.training_workers import work_until_lost
from uss_ray.cli.main import main
from uss_ray.cli.train import SEPARATOR
from uss_ray.pipelines.training import job

LOOK_SECONDS = 0.25  # a look goes through all processes
WAITS_AT_STEP = 20


def lose_with_a_checkpoint(cluster: Cluster, node: Node, run: Path) -> None:
    """Remove a node with all its processes when it has a worker and the run a checkpoint."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    while True:
        processes = raylet.children(recursive=True)
        is_training = any("RayTrainWorker" in "".join(process.cmdline()[:1]) for process in processes)
        if is_training and list(run.glob("checkpoints/*/checkpoint.json")):
            break
        time.sleep(LOOK_SECONDS)
    cluster.remove_node(node, allow_graceful=False)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    (run / "lost").touch()


if __name__ == "__main__":
    name, file = sys.argv
    run = Path(SEPARATOR.read([file])[0].request.output)
    job._work = partial(work_until_lost, WAITS_AT_STEP, run / "lost")
    with own_cluster(cpus=1, others=(1,)) as cluster:
        (other,) = cluster.worker_nodes
        threading.Thread(target=lose_with_a_checkpoint, args=(cluster, other, run), daemon=True).start()
        sys.argv = [name, "train", "separator", file, "--workers", "1:2", "--address", cluster.address]
        main()
