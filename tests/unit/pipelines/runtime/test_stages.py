"""Tables come through a thread, and Ray's errors come out as ours; no Ray is started here."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import pyarrow as pa
import pytest
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError, RayTaskError

from tests.unit.pipelines.listening import listening
from uss_ray.errors import ConfigError, OutputError
from uss_ray.pipelines.runtime import stages
from uss_ray.pipelines.runtime.run_state import RunState
from uss_ray.pipelines.runtime.stages import (
    CutShortError,
    StalledError,
    TableStream,
    _telling,
    own_error,
    run_on_worker,
)

TABLE = pa.table({"number": [1]})


class Actor:
    """An actor whose only method is Ray's own."""

    def __init__(self):
        self.ended = 0
        self.__ray_terminate__ = SimpleNamespace(remote=self._end)

    def _end(self):
        self.ended += 1


class Rows:
    """A dataset that gives tables, or raises; it holds the last back until it is let go."""

    def __init__(self, *items):
        self._items = items
        self.go_on = threading.Event()
        self.shut_down = []
        self.actors = [Actor(), Actor()]
        self._topology = ()

    def execute(self, dag):
        pool = SimpleNamespace(_pending_actors={"ready": self.actors[0]}, _running_actors={self.actors[1]: 1})
        self._topology = (SimpleNamespace(name="Read"), SimpleNamespace(_actor_pool=pool))
        return dag

    def _create_executor(self):
        return self

    def shutdown(self, *, force):
        self.shut_down.append(force)
        self.go_on.set()

    def iter_batches(self, **_arguments):
        self._create_executor().execute("dag")
        for item in self._items:
            if item is None:
                self.go_on.wait(300)
            elif isinstance(item, Exception):
                raise item
            else:
                yield item


def test_tables_come_in_order_and_end():
    assert list(TableStream(Rows(TABLE, TABLE))) == [TABLE, TABLE]


def test_who_waits_for_a_table_gets_none_after_a_while():
    rows = Rows(TABLE, None, TABLE)
    stream = TableStream(rows)
    assert stream.poll(seconds=60) is TABLE
    assert stream.poll(seconds=0.01) is None
    assert not stream.has_ended
    rows.go_on.set()
    assert stream.poll(seconds=60) is TABLE
    assert stream.poll(seconds=60) is None
    assert stream.has_ended


@pytest.mark.parametrize("items", [(TABLE,), (TABLE, OutputError("out", expected="room", found="none"))])
def test_actors_are_told_to_end_with_their_pipeline(items):
    """Whoever still has a handle."""
    rows = Rows(*items)
    with suppress(OutputError):
        list(TableStream(rows))
    assert [actor.ended for actor in rows.actors] == [1, 1]


def test_who_takes_no_more_tables_gives_the_pipeline_up():
    rows = Rows(TABLE, None, TABLE)
    tables = iter(TableStream(rows))
    assert next(tables) is TABLE
    tables.close()
    assert rows.shut_down[0]


def test_a_pipeline_that_has_ended_is_let_be():
    rows = Rows(TABLE)
    stream = TableStream(rows)
    list(stream)
    stream.abandon()
    assert rows.shut_down == []


def test_a_pipeline_can_be_given_up_before_its_first_table():
    rows = Rows(None, TABLE)
    stream = TableStream(rows)
    while stream._executor is None:
        assert stream.poll(seconds=0.01) is None
    stream.abandon()
    assert rows.shut_down[0]


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (ExecutionTimeoutError("nothing for 1800 s"), StalledError),
        (RayError("a worker\ndoes not start"), ConfigError),
        (OutputError("out", expected="room", found="none"), OutputError),
    ],
)
def test_what_stopped_the_pipeline_is_raised_where_its_tables_are_taken(fault, raised):
    with pytest.raises(raised):
        list(TableStream(Rows(TABLE, fault)))


def test_our_own_error_is_found_below_rays():
    ours = OutputError("out", expected="room", found="none")
    wrapped = RayError("task failed")
    wrapped.cause = ours
    assert own_error(wrapped) is ours
    posing = RayTaskError("settle", "\x1b[36mray::settle()\x1b[39m\n  File ...", ours).as_instanceof_cause()
    assert isinstance(posing, OutputError)
    assert own_error(posing) is ours
    chained = RayError("task failed")
    chained.__cause__ = wrapped
    assert own_error(chained) is ours
    assert "does not start" in str(own_error(RayError("a worker\n\ndoes not start\n")))


def test_what_a_stages_store_warns_of_comes_to_the_driver():
    def stage(table, *, factor):
        logging.getLogger("uss_ray.store.patience").warning("away since 12:00")
        return table.num_rows * factor

    with listening() as notes:
        told = _telling(stage, notes)
        assert told.__name__ == "stage"  # by which Ray names its figures
        assert told(pa.table({"x": [1, 2]}), factor=3) == 6
        told(pa.table({"x": [1]}), factor=1)
    assert [text for _, text, _ in notes.taken] == ["away since 12:00"] * 2


@pytest.fixture
def slow_task(monkeypatch):
    """Let a task take 60 s of a clock of its own, of which its store is away from the third on."""
    now, state, store = [0.0], RunState(), logging.getLogger("uss_ray.store.patience")
    cancelled = []

    class Task:
        def options(self, **_options):
            return self

        def remote(self, work, tells, *arguments):
            return partial(stages._told, work, tells, *arguments)

    def wait(references, *, timeout):
        now[0] += timeout
        if now[0] > 2.0:
            state.note(store.name, f"away since {now[0]:.0f}", "process 7")
        return (references, []) if now[0] > 60.0 else ([], references)

    clock = SimpleNamespace(
        monotonic=lambda: now[0], time=time.time, strftime=time.strftime, gmtime=time.gmtime
    )
    monkeypatch.setattr(stages, "time", clock)
    monkeypatch.setattr(stages.ray, "remote", lambda _function: Task())
    monkeypatch.setattr(stages.ray, "wait", wait)
    monkeypatch.setattr(stages.ray, "cancel", lambda _task, *, force: cancelled.append(force))
    monkeypatch.setattr(
        stages.ray, "get", lambda reference: reference() if callable(reference) else reference
    )
    calls = {name: SimpleNamespace(remote=getattr(state, name)) for name in ("look", "note", "is_ending")}
    with listening():
        yield SimpleNamespace(tells=SimpleNamespace(**calls), state=state, now=now, cancelled=cancelled)


def test_what_the_store_of_a_task_warns_of_is_said_while_it_is_waited_for(slow_task, caplog):
    assert run_on_worker(lambda number: number + 1, 1, tells=slow_task.tells) == 2
    assert caplog.messages[0] == "away since 4"
    assert sum("waiting since" in line for line in caplog.messages) == 2


def test_a_run_that_is_stopped_waits_for_no_task_without_end(slow_task):
    slow_task.state.stop()
    with pytest.raises(CutShortError, match="still at it after 20 s"):
        run_on_worker(lambda number: number + 1, 1, tells=slow_task.tells)
    assert slow_task.now[0] == 22.0 + 5.0  # for its process to be gone
    assert slow_task.cancelled == [True]


def test_a_run_that_begins_no_more_by_itself_is_in_no_hurry(slow_task):
    """With too many failures it ends, and they are to be listed; nobody waits for it as after a signal."""
    slow_task.state.begin_no_more()
    assert slow_task.state.is_stopping()
    assert run_on_worker(lambda number: number + 1, 1, tells=slow_task.tells) == 2
    assert slow_task.cancelled == []
