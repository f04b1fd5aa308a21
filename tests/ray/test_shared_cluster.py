"""The archive job on a cluster of two CPUs of which others hold a part."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

HOLD = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
class Model:
    def ready(self): pass
small = ray.remote(Model).options(num_cpus=0.1).remote()
large = ray.remote(Model).options(num_cpus=1.5).remote()
ray.get([small.ready.remote(), large.ready.remote()])
print("held", flush=True)
sys.stdin.readline()
ray.kill(large)
print("let go", flush=True)
sys.stdin.readline()
"""
PATIENCE_SECONDS = 200.0


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 200 << 20})
    yield cluster
    cluster.shutdown()


@pytest.fixture
def holder(cluster):
    """Somebody else on the cluster, with a model of a tenth of a CPU and one of one and a half."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, cluster.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def start(cluster, make_recording, tiny_weights, tmp_path):
    """Start the archive command on the cluster; give its process and what it says."""
    for number in range(3):
        make_recording(f"{number}.wav", seconds=1.0)
    program = Path(sys.executable).with_name("uss-ray")
    started = []

    def run():
        log = tmp_path / f"log-{len(started)}"
        arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "--levels", "1", "--no-report"]
        with log.open("wb") as file:
            process = subprocess.Popen(
                [program, "archive", *arguments, "--weights", tiny_weights, "--address", cluster.address],
                stdout=file,
                stderr=file,
            )
        started.append(process)
        return process, log

    yield run
    for process in started:
        process.kill()
        process.wait()


def wait_for(text, log, process):
    give_up = time.monotonic() + PATIENCE_SECONDS
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)


def test_a_job_waits_aloud_for_what_others_hold_and_works_beside_them(start, holder, tmp_path):
    stopped, log = start()
    wait_for("waiting for 0.85 CPUs: 0.4 of 2 are free, held by 2 × Model of job", log, stopped)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM, log.read_text()
    assert not (tmp_path / "out" / ".lease").exists()

    command, log = start()
    wait_for("waiting for", log, command)
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "let go\n"
    assert command.wait(PATIENCE_SECONDS) == 0, log.read_text()
    assert "Separated 3 of 3" in log.read_text()
