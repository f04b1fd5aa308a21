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
from typing import Any

import psutil
from ray._private.node import Node
from ray.cluster_utils import Cluster
from ray.data._internal.execution.no_progress_guard import NoProgressGuard

from tests.faults.commands import PATIENCE_SECONDS
from tests.faults.disturbances import LOOK_SECONDS, DisturbedSeparator, Gate
from tests.own_cluster import own_cluster
from tests.processes import wait_until_ended
from uss_ray.cli.main import main
from uss_ray.pipelines.archive import job

LOST = "lost"
HEAD_CPUS = "TEST_HEAD_CPUS"
"""Name in the environment: CPUs of the node that stays."""
STALL_SECONDS = "TEST_STALL_SECONDS"
"""Name in the environment: how long the pass that loses the node may stand still then; otherwise half an hour."""


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
    wait_until_ended(workers, seconds=PATIENCE_SECONDS)
    (gate.folder / LOST).touch()
    gate.open()


def give_up_after(seconds: float, *, lost: Path) -> None:
    """End a pass that lost the node once it stands still; before the loss, and after it, a slow start is no stall."""
    begin, look = NoProgressGuard.__init__, NoProgressGuard.check
    losers = set()

    def begin_and_note(self: NoProgressGuard, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        if not lost.exists():
            losers.add(self)

    def check(self: NoProgressGuard) -> None:
        if self in losers and lost.exists():
            self._timeout_s = seconds
        look(self)

    NoProgressGuard.__init__, NoProgressGuard.check = begin_and_note, check  # type: ignore[method-assign]


if __name__ == "__main__":
    name, folder, *arguments = sys.argv
    gate = Gate(Path(folder))
    head_cpus = int(os.environ.get(HEAD_CPUS, "3"))
    if stall := os.environ.get(STALL_SECONDS):
        give_up_after(float(stall), lost=gate.folder / LOST)
    make_separator = partial(DisturbedSeparator, deed=gate)
    job.separate_archive = partial(job.separate_archive, make_separator=make_separator)
    with own_cluster(cpus=head_cpus, others=(2,)) as cluster:
        (other,) = cluster.worker_nodes
        threading.Thread(target=lose_when_busy, args=(cluster, other, gate), daemon=True).start()
        sys.argv = [name, "archive", *arguments, "--address", cluster.address]
        main()
