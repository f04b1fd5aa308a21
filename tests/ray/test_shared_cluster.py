"""The archive job on a cluster of two CPUs of which others hold a part."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.own_cluster import own_cluster

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]

HOLD = """
import sys, ray
from ray import serve
ray.init(address=sys.argv[1], log_to_driver=False, namespace="a service")
@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Adder:
    def __call__(self, number): return number + 1
class Model:
    def ready(self): pass
handle = serve.run(Adder.bind(), route_prefix=None)
small = ray.remote(Model).options(num_cpus=0.1).remote()
large = ray.remote(Model).options(num_cpus=1.5).remote()
ray.get([small.ready.remote(), large.ready.remote()])
print("answers", handle.remote(2).result(), flush=True)
sys.stdin.readline()
ray.kill(large)
print("let go", flush=True)
sys.stdin.readline()
print("answers", handle.remote(2).result(), flush=True)
sys.stdin.readline()
"""
PATIENCE_SECONDS = 400.0  # for what would hang; nothing here is a verdict on speed


@pytest.fixture(scope="module")
def cluster():
    """One for all tests, in their order: what the service leaves in it stays."""
    with own_cluster(cpus=2) as cluster:
        yield cluster


@pytest.fixture
def start(cluster, make_recording, tiny_weights, tmp_path):
    """Start the archive command on the cluster; give its process and what it says."""
    program = Path(sys.executable).with_name("uss-ray")
    started = []

    def run(name="some", recordings=3):
        first = make_recording(f"{name}/0.wav", seconds=1.0)
        for number in range(1, recordings):
            with suppress(FileExistsError):
                os.link(first, first.with_name(f"{number}.wav"))
        log = tmp_path / f"log-{len(started)}"
        arguments = [
            str(tmp_path / "in" / name),
            str(tmp_path / "out" / name),
            "--levels",
            "1",
            "--no-report",
        ]
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
    wait_until(lambda: text in log.read_text(), log, process)


def wait_until(is_so, log, process):
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)


def tell(process):
    process.stdin.write("\n")
    process.stdin.flush()


def test_two_jobs_with_defaults_share_two_cpus_and_both_come_to_their_end(start, tmp_path):
    first, first_log = start("one", recordings=24)
    second, second_log = start("two", recordings=24)
    assert first.wait(PATIENCE_SECONDS) == 0, first_log.read_text()
    assert second.wait(PATIENCE_SECONDS) == 0, second_log.read_text()
    for log in (first_log, second_log):
        assert "Separated 24 of 24" in log.read_text()


def test_of_two_jobs_either_can_be_stopped_whatever_it_waits_for(start, tmp_path):
    stopped = []
    for name in ("one", "two"):
        job, log = start(name, recordings=1500)
        wait_until(lambda name=name: list((tmp_path / "out" / name / ".lease").glob("*.json")), log, job)
        stopped.append((job, log))
    for job, log in reversed(stopped):
        job.send_signal(signal.SIGTERM)
        assert job.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM, log.read_text()
    assert not list((tmp_path / "out").glob("*/.lease/*"))


def test_a_job_waits_aloud_for_what_others_hold_and_works_beside_them(start, cluster):
    """Beside a service, a model of a tenth of a CPU, and one of one and a half that goes."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, cluster.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "answers 3\n"
        job, log = start("beside")
        wait_for("waiting for 0.85 CPUs: 0.3 of 2 are free, held by 2 × Model of job", log, job)
        tell(holder)
        assert holder.stdout.readline() == "let go\n"
        assert job.wait(PATIENCE_SECONDS) == 0, log.read_text()
        assert "Separated 3 of 3" in log.read_text()
        tell(holder)
        assert holder.stdout.readline() == "answers 3\n"
        holder.kill()
