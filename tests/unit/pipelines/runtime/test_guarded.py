"""A reader's fault is the run's fault, and a run that stops reads no more."""

from __future__ import annotations

import pyarrow as pa
import pytest

from uss_ray.errors import DataError
from uss_ray.pipelines.runtime import guarded, run_state
from uss_ray.pipelines.runtime.guarded import guard
from uss_ray.pipelines.runtime.run_state import RunState


class Handle:
    """The state without Ray: a call is made at once."""

    def __init__(self):
        self.state = RunState()

    def __getattr__(self, name):
        call = getattr(self.state, name)
        return type("Method", (), {"remote": staticmethod(call)})


@pytest.fixture
def state(monkeypatch):
    for module in (guarded, run_state):
        monkeypatch.setattr(module.ray, "get", lambda value: value)
    return Handle()


def tables(count):
    def read():
        for number in range(count):
            yield pa.table({"number": [number]})

    return read


def test_the_state_knows_when_every_reader_has_come_to_its_end(state):
    first, second = guard([tables(2), tables(1)], state=state)
    assert len(list(first())) == 2
    assert not state.state.look().is_listed
    list(second())
    assert state.state.look().is_listed


def test_a_fault_ends_the_run(state):
    def broken():
        yield pa.table({"number": [1]})
        raise DataError("list.csv", expected="a number", found="x")

    (reader,) = guard([broken], state=state)
    with pytest.raises(DataError):
        list(reader())
    look = state.state.look()
    assert isinstance(look.fault, DataError)
    assert state.state.is_stopping()
    assert not look.is_listed


def test_a_run_that_stops_reads_no_more(state):
    (reader,) = guard([tables(9)], state=state)
    read = iter(reader())
    next(read)
    state.state.stop()
    assert list(read) == []
    assert not state.state.look().is_listed
