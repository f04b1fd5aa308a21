"""How workers learn that a run is to stop."""

from __future__ import annotations

import pickle

import numpy as np

from uss_ray.pipelines.runtime import run_state
from uss_ray.pipelines.runtime.run_state import Earlier, Named, RunState, StopSign
from uss_ray.store.walk import Unlisted


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


def test_the_state_knows_which_workers_are_busy():
    state = RunState()
    state.join("a")
    state.begin("a")
    state.join("b")
    assert (state.look().workers, state.look().busy) == (2, ("a",))
    state.end("a")
    state.begin("b")
    state.join("b")  # it has died, and come back
    assert (state.look().workers, state.look().busy) == (2, ())


def test_a_fault_after_a_stop_is_no_reason_of_its_own():
    state = RunState()
    state.stop()
    state.give_up(ValueError())
    assert state.look().fault is None
    other = RunState()
    other.give_up(ValueError())
    assert isinstance(other.look().fault, ValueError)
    assert other.is_stopping()


def test_a_fault_that_travels_is_no_sign_of_life():
    state = RunState()
    state.give_up(ValueError("no room"))
    one, other = (pickle.loads(pickle.dumps(state.look())) for _ in range(2))  # noqa: S301 - as Ray does
    assert one.fault != other.fault
    assert one == other


def test_what_earlier_runs_did_counts_once_though_a_reader_begins_anew():
    state = RunState()
    for reader in (0, 1, 0):
        state.begin_earlier(reader)
        state.add_earlier(reader, Earlier(skipped=2, failed=[np.array([5, 3])], changed=Named(1, ["a"])))
        state.add_earlier(reader, Earlier(skipped=1))
    found = state.earlier()
    assert found.skipped == 6
    assert found.failed_keys.tolist() == [3, 5]
    assert found.changed.record() == {"count": 2, "examples": ["a", "a"]}


def test_what_cannot_be_listed_counts_once_though_the_reader_of_a_folder_begins_anew():
    state = RunState()
    for _ in range(2):
        state.begin_earlier(0)
        state.add_unlisted([Unlisted("closed: no permission", True)])
    assert (state.passed_over().unlisted, state.passed_over().lost_count) == (["closed: no permission"], 1)


def test_of_many_names_some_are_told():
    named = Named()
    for _ in range(3):
        named.add([str(number) for number in range(15)])
    assert named.count == 45
    assert len(named.examples) == 20
