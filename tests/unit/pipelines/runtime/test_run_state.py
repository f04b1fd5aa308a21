"""How workers learn that a run is to stop."""

from __future__ import annotations

from uss_ray.pipelines.runtime import run_state
from uss_ray.pipelines.runtime.run_state import StopSign


def test_a_stop_sign_asks_twice_a_second_until_the_run_stops(monkeypatch):
    answers = iter([False, True])
    now = 100.0
    monkeypatch.setattr(run_state, "is_stopping", lambda _: next(answers))
    monkeypatch.setattr(run_state.time, "monotonic", lambda: now)
    sign = StopSign(state=None)
    assert not sign
    now = 100.4
    assert not sign
    now = 100.6
    assert sign
    now = 200.0
    assert sign
