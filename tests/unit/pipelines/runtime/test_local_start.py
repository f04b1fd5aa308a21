from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ray._private import parameter, services

from uss_ray.pipelines.runtime.local_start import PATIENCE_SECONDS, PatientLookup, starting_locally


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _lookup(
    time: Time, known_after: float, lives: Callable[[], bool] = lambda: True
) -> tuple[PatientLookup, list[tuple[Any, ...]]]:
    asked = list[tuple[Any, ...]]()

    def look(*given: Any) -> str:
        asked.append(given)
        if time.now < known_after:
            raise RuntimeError("no such node")
        return "known"

    return PatientLookup(look, lives, clock=time.clock, sleep=time.sleep), asked


def test_a_node_that_takes_longer_than_ray_waits_is_waited_for_aloud(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time = Time()
    lookup, asked = _lookup(time, known_after=100.0)
    with caplog.at_level(logging.WARNING):
        assert lookup("address", "node") == "known"
    assert set(asked) == {("address", "node")}
    assert [record.getMessage() for record in caplog.records] == [
        f"waiting for Ray to start: its node is not there after 15 s; it has {PATIENCE_SECONDS:.0f}"
    ]


def test_what_comes_soon_is_not_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    lookup, _ = _lookup(Time(), known_after=10.0)
    assert lookup() == "known"
    assert caplog.records == []


def test_patience_ends() -> None:
    time = Time()
    lookup, _ = _lookup(time, known_after=1e9)
    with pytest.raises(RuntimeError, match="no such node"):
        lookup()
    assert time.now == pytest.approx(PATIENCE_SECONDS, abs=1.0)
    with pytest.raises(
        RuntimeError
    ):  # Ray asks again for as long as it waits itself; that is not another patience
        lookup()
    assert time.now == pytest.approx(PATIENCE_SECONDS, abs=1.0)


def test_nothing_is_waited_for_whose_raylet_has_ended() -> None:
    time = Time()
    lookup, _ = _lookup(time, known_after=1e9, lives=lambda: time.now < 3.0)
    with pytest.raises(RuntimeError):
        lookup()
    assert time.now == pytest.approx(3.0, abs=0.5)


@pytest.mark.parametrize("given", [None, "7"])
def test_ray_is_as_before_afterwards(given: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "RAY_gcs_server_port_wait_time_s"
    monkeypatch.delenv(name, raising=False)
    if given is not None:
        monkeypatch.setenv(name, given)
    before = parameter.RayParams, services.get_node, services.start_raylet
    with starting_locally():
        assert os.environ[name] == (given or f"{PATIENCE_SECONDS:.0f}")
        assert parameter.RayParams().dashboard_agent_listen_port == 0
    assert (parameter.RayParams, services.get_node, services.start_raylet) == before
    assert os.environ.get(name) == given


def test_the_raylet_that_ray_starts_is_the_one_that_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = list[str]()

    def none(*_: Any) -> Any:
        looks.append("look")
        raise RuntimeError("no such node")

    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    monkeypatch.setattr(services, "start_raylet", lambda: SimpleNamespace(process=ended))
    monkeypatch.setattr(services, "get_node", none)
    with starting_locally():
        services.start_raylet()  # type: ignore[call-arg]
        with pytest.raises(RuntimeError, match="no such node"):
            services.get_node("address", "node")
    assert looks == ["look"]
