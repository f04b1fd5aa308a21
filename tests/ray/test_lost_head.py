"""The head of a Ray is lost in the middle of a job: its driver ends too, and a keeper with another Ray goes on."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.conftest import MakeRecording
from tests.unit.service.conftest import wait_until
from uss_ray.errors import OutputError
from uss_ray.jobs.run_job import separate
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.service.job_driver import drive
from uss_ray.service.jobs import JobOrder, JobRequest
from uss_ray.service.keeper import DRIVER, VARIABLE, Keeper, Life
from uss_ray.service.settings import JobSettings, ServiceSettings
from uss_ray.store.lease import LEASE_FOLDER
from uss_ray.store.store import Store

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.usefixtures("local_ray"),
    pytest.mark.timeout(900),
]

RECORDINGS = 4
HEAD = ("gcs_server", "raylet")


class NextRay:
    """Knows nothing of drivers that another Ray had, as a Jobs API that has begun anew."""

    def __init__(self) -> None:
        self.orders: list[JobOrder] = []

    def start(self, order: JobOrder) -> None:
        self.orders.append(order)

    def life(self, name: str) -> Life:
        return "unknown"

    def missing(self) -> str | None:
        return None

    def close(self) -> None:
        pass


def test_a_job_whose_head_was_killed_goes_on_with_another_ray(
    make_recording: MakeRecording, tiny_weights: Path, tmp_path: Path
) -> None:
    first = make_recording("000.wav", seconds=3)
    for number in range(1, RECORDINGS):
        os.link(first, first.with_name(f"{number:03}.wav"))
    settings = ServiceSettings(no_auth=True, store=str(tmp_path / "store"), jobs=JobSettings(actors=1))
    ray, now = NextRay(), [0.0]
    keeper = Keeper(Store(str(tmp_path / "store"), error=OutputError), settings, ray, clock=lambda: now[0])
    table, output = keeper.table, keeper.table.results("one", "a" * 32)
    table.add(
        JobRequest(
            job_id="a" * 32, tenant="one", created_at=1.0, digest="d", input=str(first.parent), output=str(output),
            sounds={"query": {"levels": [1]}, "weights": str(tiny_weights), "device": "cpu"},
        )
    )  # fmt: skip
    keeper.look()
    order = ray.orders.pop()
    # Ray waits a minute for a head that comes back; none does.
    environment = {
        **os.environ,
        VARIABLE: order.canonical_json(),
        "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    }
    environment.pop("RAY_ADDRESS", None)
    with (tmp_path / "log").open("wb") as log:
        driver = subprocess.Popen(DRIVER, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        lease = output.local_path() / LEASE_FOLDER
        wait_until(lambda: any(lease.glob("*.json")) or driver.poll() is not None)
        os.kill(driver.pid, signal.SIGSTOP)  # so that it is in the middle of it, whatever comes
        head = [one for one in psutil.Process(driver.pid).children(recursive=True) if one.name() in HEAD]
        assert {one.name() for one in head} == set(HEAD), (tmp_path / "log").read_text()
        for one in head:
            one.kill()
        os.kill(driver.pid, signal.SIGCONT)
        wait_until(lambda: driver.poll() is not None)  # one that stayed would look alive for ever
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    row = table.find("one", "a" * 32)
    assert (row.state, len(row.attempts)) == ("running", 1)

    keeper.look()
    assert ray.orders == []  # it may be that nobody hears of it for a moment
    now[0] += settings.jobs.silent_seconds + 1
    keeper.look()
    (again,) = ray.orders
    drive(again, lambda *asked: separate(*asked, options=JobOptions(actors=1)))
    ended = table.find("one", "a" * 32)
    assert (ended.state, ended.counts.finished, ended.counts.failed) == ("succeeded", RECORDINGS, 0)
    keeper.close()
