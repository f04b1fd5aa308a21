"""What Prometheus sees of a worker."""

from __future__ import annotations

import re
import time
import urllib.request

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def numbers(name, *, worker, pipeline):
    """Read what a worker counted for a pipeline, by status or stage; others have been at work before."""
    import ray

    port = ray.nodes()[0]["MetricsExportPort"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    found = {}
    for line in lines:
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        is_meant = line.startswith(f"ray_uss_ray_{name}_total{{") and labels["WorkerId"] == worker
        if is_meant and labels["pipeline"] == pipeline:
            found[labels.get("status") or labels.get("stage")] = float(line.rsplit(" ", 1)[1])
    return found


def settled(expected, name, *, seconds=240.0, **whose):
    """Read numbers until they are as expected, for they come to the node a little later; give the last ones."""
    end = time.monotonic() + seconds
    while (found := numbers(name, **whose)) != expected and time.monotonic() < end:
        time.sleep(1)
    return found


@pytest.fixture(scope="module")
def counted(local_ray):
    """Have one worker count a packet of each pipeline; give its id."""
    import ray

    @ray.remote(num_cpus=0)
    class Worker:
        def count(self):
            from uss_ray.pipelines.archive.metrics import ArchiveMetrics
            from uss_ray.pipelines.archive.outcome import Outcome, PacketReport
            from uss_ray.pipelines.mining.metrics import MiningMetrics
            from uss_ray.pipelines.mining.outcome import MiningReport

            self.metrics = ArchiveMetrics(), MiningMetrics()
            outcome = Outcome(recording_id="a", recording_uri="a", status="separated", seconds=7.0, written=3)
            self.metrics[0].count(PacketReport(outcomes=(outcome,), worker="w", separate_seconds=2.0))
            mined = {"mined": 60, "failed": 4, "anchors": 90, "audio_seconds": 600.0}
            self.metrics[1].count(MiningReport(**mined, mine_seconds=5.0))
            self.metrics[1].count(MiningReport(mined=1, anchors=2, audio_seconds=10.0, mine_seconds=0.5))
            return ray.get_runtime_context().get_worker_id()

    actor = Worker.remote()
    yield ray.get(actor.count.remote())
    ray.kill(actor)


@pytest.mark.parametrize(
    ("pipeline", "name", "expected"),
    [
        ("archive", "recordings", {"separated": 1.0}),
        ("archive", "audio_seconds", {None: 7.0}),
        ("archive", "stems", {None: 3.0}),
        ("archive", "stage_seconds", {"separate": 2.0}),
        ("mining", "clips", {"mined": 61.0, "failed": 4.0}),
        ("mining", "audio_seconds", {None: 610.0}),
        ("mining", "anchors", {None: 92.0}),
        ("mining", "stage_seconds", {"mine": 5.5}),
    ],
)
def test_workers_count_for_prometheus(counted, pipeline, name, expected):
    assert settled(expected, name, worker=counted, pipeline=pipeline) == expected
