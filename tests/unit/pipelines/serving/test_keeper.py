"""What Ray says of a driver, as the keeper understands it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ray.job_submission import JobStatus

from uss_ray.pipelines.serving.keeper import JobKeeper, RayJobExecutor
from uss_ray.service.jobs import JobOrder
from uss_ray.service.keeper import Keeper
from uss_ray.service.settings import ServiceSettings


class _Client:
    """Jobs API of a cluster that knows one job."""

    def __init__(self) -> None:
        self.status = JobStatus.RUNNING
        self.asked: dict[str, Any] = {}

    def submit_job(self, **asked: Any) -> None:
        self.asked = asked

    def get_job_status(self, name: str) -> JobStatus:
        if name != "known-1":
            raise RuntimeError("Job does not exist")
        return self.status

    def get_version(self) -> str:
        raise ConnectionError("no dashboard")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> _Client:
    client = _Client()
    monkeypatch.setattr(RayJobExecutor, "_client", lambda _: client)
    monkeypatch.setattr(RayJobExecutor, "_address", "10.0.0.1:6379")
    return client


def test_a_driver_lives_ends_or_is_unknown(client: _Client) -> None:
    executor = RayJobExecutor()
    assert executor.life("known-1") == "alive"
    client.status = JobStatus.FAILED
    assert executor.life("known-1") == "ended"
    assert executor.life("another-1") == "unknown"
    assert executor.missing() == "Ray's Jobs API does not answer"


def test_nothing_of_a_client_is_on_its_command_line(client: _Client) -> None:
    order = JobOrder(store="/a; rm -rf b", tenant="one", job_id="0" * 32, attempt=1)
    RayJobExecutor().start(order)
    assert client.asked["entrypoint"].endswith("-m uss_ray.jobs.run_job")
    assert client.asked["submission_id"] == order.name
    told = order.replace(address="10.0.0.1:6379")  # whatever Ray says of clusters of the driver's machine
    assert client.asked["runtime_env"] == {"env_vars": {"USS_RAY_JOB": told.canonical_json()}}


def test_a_replica_that_ends_first_ends_its_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, goes_on, looked = threading.Event(), threading.Event(), []

    def look(_: Keeper) -> None:
        begun.set()
        goes_on.wait(300.0)
        looked.append(True)

    monkeypatch.setattr(Keeper, "look", look)
    keeper = JobKeeper(ServiceSettings(no_auth=True, store=str(tmp_path)))
    assert begun.wait(300.0)
    threading.Timer(0.05, goes_on.set).start()
    del keeper
    assert looked
