"""What Prometheus sees of a worker."""

from __future__ import annotations

import time
import urllib.request

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def scraped(wanted, *, worker, seconds=60.0):
    """Read the node's metrics until a name is among those of a worker; others have been at work before."""
    import ray

    port = ray.nodes()[0]["MetricsExportPort"]
    end = time.monotonic() + seconds
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.startswith(wanted) and f'WorkerId="{worker}"' in line]
        if found or time.monotonic() > end:
            return found
        time.sleep(1)


def test_workers_count_recordings_sound_and_busy_time_for_prometheus():
    import ray

    @ray.remote(num_cpus=0)
    class Worker:
        def count(self):
            from uss_ray.pipelines.archive.metrics import ArchiveMetrics
            from uss_ray.pipelines.archive.outcome import Outcome, PacketReport

            self.metrics = ArchiveMetrics()
            outcome = Outcome(recording_id="a", recording_uri="a", status="separated", seconds=7.0, written=3)
            self.metrics.count(PacketReport(outcomes=(outcome,), worker="w", separate_seconds=2.0))
            return ray.get_runtime_context().get_worker_id()

    actor = Worker.remote()
    worker = ray.get(actor.count.remote())
    (recordings,) = scraped("ray_uss_ray_recordings_total{", worker=worker)
    assert 'status="separated"' in recordings
    assert recordings.endswith(" 1.0")
    assert scraped("ray_uss_ray_audio_seconds_total{", worker=worker)[0].endswith(" 7.0")
    stages = scraped("ray_uss_ray_stage_seconds_total{", worker=worker)
    assert any('stage="separate"' in line and line.endswith(" 2.0") for line in stages)
