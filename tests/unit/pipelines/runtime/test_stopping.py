"""The first signal asks, the second ends the process; afterwards handlers are as they were."""

from __future__ import annotations

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from uss_ray.pipelines.runtime import stopping
from uss_ray.pipelines.runtime.stopping import StopRequest, stop_on_signals


def test_the_first_signal_asks_once_in_a_thread_of_its_own():
    asked = threading.Event()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with stop_on_signals(asked.set) as stop:
        assert not stop
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.wait(60)
        assert stop
        assert stop.signal_number == signal.SIGTERM
        with pytest.raises(SystemExit, match="143"):
            os.kill(os.getpid(), signal.SIGTERM)
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert after == before


def test_outside_the_main_thread_no_signal_is_caught():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def run():
        with stop_on_signals(lambda: None) as stop:
            seen.append((signal.getsignal(signal.SIGTERM) == before, bool(stop)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(True, False)]


def test_others_are_waited_for_a_little_while_after_a_stop(monkeypatch, caplog):
    now = [100.0]
    clock = SimpleNamespace(
        monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    monkeypatch.setattr(stopping, "time", clock)
    stop = StopRequest()
    stop.sleep(3600)
    stop.ask(signal.SIGTERM)
    stop.sleep(9.0)
    assert now == [3709.0]
    with pytest.raises(SystemExit, match="143"):
        stop.sleep(3600)
    assert now == [3710.0]
    assert "the same command goes on" in caplog.text


def test_a_stop_leaves_no_patience_with_a_store(monkeypatch):
    asked = []
    monkeypatch.setattr(stopping, "hurry_if", asked.append)
    with stop_on_signals(lambda: None) as stop:
        assert not asked[0]()
        stop.ask(signal.SIGINT)
        assert asked[0]()
    assert asked[1:] == [None]
