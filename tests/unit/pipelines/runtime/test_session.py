"""What a session sets in the process is put back; Ray itself is not started here."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress

import pytest
from ray._private import parameter
from ray._private.parameter import RayParams

from uss_ray.errors import ConfigError
from uss_ray.pipelines.runtime import session
from uss_ray.pipelines.runtime.session import ray_session


@pytest.fixture
def started(monkeypatch):
    """Arguments of `ray.init`; it changes the process as Ray does."""
    calls = []

    def init(**arguments):
        ports = RayParams(), parameter.RayParams()
        calls.append(
            {
                **arguments,
                "environment": dict(os.environ),
                "agent_ports": [given.dashboard_agent_listen_port for given in ports],
            }
        )
        os.environ["RAY_AUTH_MODE"] = "token"
        signal.signal(signal.SIGTERM, lambda *_: None)

    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(session.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(session.ray, "init", init)
    monkeypatch.setattr(session.ray, "shutdown", lambda: calls.append("shutdown"))
    monkeypatch.setattr(session, "_forget_token", lambda: None)
    return calls


def state_of_process():
    log = logging.getLogger("ray")
    return dict(os.environ), signal.getsignal(signal.SIGTERM), log.level, list(log.handlers)


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("address", [None, "10.0.0.1:6379"])
def test_the_process_is_as_before_also_after_a_fault(started, address, verbose):
    def handler(*_):
        pass

    first = signal.signal(signal.SIGTERM, handler)
    before = state_of_process()
    with suppress(ZeroDivisionError), ray_session(address, verbose=verbose):
        assert signal.getsignal(signal.SIGTERM) == handler
        raise ZeroDivisionError
    after = state_of_process()
    signal.signal(signal.SIGTERM, first)
    assert after == before
    assert started[-1] == "shutdown"
    told = started[0]
    assert parameter.RayParams is RayParams
    # Where another Ray on the machine has it already, no job could be submitted.
    assert told["agent_ports"] == [52365, 52365 if address else 0]
    assert told["address"] == (address or "local")
    assert told["log_to_driver"] is verbose
    assert told["logging_level"] == (logging.INFO if verbose else logging.ERROR)
    assert ("RAY_BACKEND_LOG_LEVEL" in told["environment"]) == (not verbose)


def test_what_the_user_has_set_stays(started, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    with ray_session():
        assert os.environ["RAY_AUTH_TOKEN"] == "mine"
    assert started[0]["environment"]["RAY_AUTH_TOKEN"] == "mine"
    assert os.environ["RAY_AUTH_TOKEN"] == "mine"


def test_a_session_that_is_there_is_taken_as_it_is(started, monkeypatch):
    monkeypatch.setattr(session.ray, "is_initialized", lambda: True)
    with ray_session("elsewhere:1"):
        pass
    assert started == []


def test_an_address_without_a_cluster_is_refused(started, monkeypatch):
    def refuse(**_arguments):
        raise ConnectionError("nobody there")

    monkeypatch.setattr(session.ray, "init", refuse)
    before = state_of_process()
    with (
        pytest.raises(ConfigError, match=r"Ray address 10\.0\.0\.1:1: .*nobody there"),
        ray_session("10.0.0.1:1"),
    ):
        pass
    assert state_of_process() == before


def test_a_ray_that_does_not_start_is_told_in_a_line(started, monkeypatch):
    def time_out(**_arguments):
        raise Exception("The current node timed out\nduring startup.")

    monkeypatch.setattr(session.ray, "init", time_out)
    with pytest.raises(ConfigError, match="timed out during startup"), ray_session():
        pass


@pytest.mark.parametrize(("code", "given"), [(signal.SIGTERM, 143), (3, 3)])
def test_a_signal_while_ray_starts_has_the_exit_code_of_a_signal(started, monkeypatch, code, given):
    def end(**_options):
        raise SystemExit(code)

    monkeypatch.setattr(session.ray, "init", end)
    with pytest.raises(SystemExit) as caught, ray_session():
        pass
    assert caught.value.code == given


def test_a_control_service_that_is_away_is_told_once_with_what_comes_of_it(caplog):
    answers = iter([True, False, False, False, True, False])
    clock = iter(range(0, 100, 5))
    watch = session.ControlWatch(lambda: next(answers), clock=lambda: next(clock))
    for _ in range(6):
        watch.look()
    (line,) = caplog.messages
    assert "does not answer" in line
    assert "the same command goes on" in line


@pytest.mark.parametrize("verbose", [False, True])
def test_what_ray_prints_of_failed_tasks_stays_off_stdout_unless_asked_for(
    started, monkeypatch, capsys, verbose
):
    worker = session.ray._private.worker
    # The session that other tests of this process share keeps it off.
    monkeypatch.setattr(worker, "_worker_logs_enabled", True)
    said = {"lines": ["Task failed: bad\x1b[31mRED.wav"], "pid": "raylet", "is_err": False}
    with session.ray_session(verbose=verbose):
        worker.print_worker_logs(said, sys.stdout)
    assert ("RED.wav" in capsys.readouterr().out) == verbose
    worker.print_worker_logs(said, sys.stdout)
    assert "RED.wav" in capsys.readouterr().out
