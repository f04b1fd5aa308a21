"""The driver of all jobs, without Ray: what its passes, counters and exit codes make of what workers report."""

from __future__ import annotations

import json
import logging
import re
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa
import pytest
from ray.exceptions import RaySystemError

from uss_ray.api.owned import Owned
from uss_ray.errors import ConfigError, OutputError
from uss_ray.pipelines.runtime import job as module
from uss_ray.pipelines.runtime.context import _TELLS_OF_BLOCKS
from uss_ray.pipelines.runtime.counters import Increment
from uss_ray.pipelines.runtime.job import Job, LedgerFacts, run_job
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.pool import Resources
from uss_ray.pipelines.runtime.run_state import Look, RunState
from uss_ray.pipelines.runtime.stages import CutShortError, StalledError
from uss_ray.results.index.table import RunFacts
from uss_ray.store.lease import LEASE_FOLDER
from uss_ray.store.store import Store


class Handle:
    """The state without Ray: a call is made at once."""

    def __init__(self):
        self.state = RunState()
        self.has_ended = False

    def end(self):
        self.has_ended = True

    def __getattr__(self, name):
        call = getattr(self.state, name)
        return type("Method", (), {"remote": staticmethod(call)})


class Reports:
    """A stream of records; an exception among them is raised."""

    def __init__(self, records):
        self._records = iter(records)
        self.has_ended = False
        self.was_abandoned = False

    def poll(self, *, seconds):
        for record in self._records:
            if isinstance(record, Exception):
                raise record
            return pa.table({"record": [record]})
        self.has_ended = True
        return None

    def abandon(self):
        self.was_abandoned = True


class Summary:
    def __init__(self, report):
        self.report = report

    def to_json(self):
        counters = self.report.counters
        return json.dumps({"done": counters.done, "failed": counters.failed, "skipped": counters.skipped})


@dataclass(frozen=True)
class Request:
    output_store: Store
    overwrite: bool
    device: str = "cpu"


@dataclass
class Numbers(Job[Summary]):
    """Items are numbers; `script` says for each pass what is reported of each."""

    kind = "numbers"
    stages = ("read", "work")
    owned = Owned({"results": re.compile(r"\w+")})

    request: Request
    script: list
    items: int = 3
    one_by_one: bool = True
    passes: list = field(default_factory=list)
    events: list = field(default_factory=list)
    known: int = 0
    failed_before: int = 0
    most_actors: int | None = None

    source = "numbers"

    def facts(self):
        return RunFacts(run_id="1", weights_name="none", weights_sha256="0", settings="{}")

    def ledger_reader(self):
        earlier = Increment(skipped=self.known, failed_before=self.failed_before)
        return lambda: ("ledger", LedgerFacts(earlier=earlier, most_actors=self.most_actors))

    def pipeline(self, run):
        self.passes.append(run)
        run.state.state.add_found(self.items - sum(item in ("done", "failed") for item in self.events))
        return self.script[len(self.passes) - 1]

    def is_one_by_one(self, run):
        return self.one_by_one

    def read(self, record):
        record = record["record"]
        self.events.append(record)
        yield Increment(
            **{record: 1},
            failures={"bad": 1} if record == "failed" else {},
            unfinished_reason="store away" if record == "unfinished" else None,
            got_done=record != "unfinished",
        )

    def quarantine(self, run):
        self.events.append("quarantine")
        yield Increment(failed=1, failures={"poison": 1})

    def finalise(self, *, is_complete):
        self.events.append(f"finalise {is_complete}")
        return iter(())

    def summary(self, report):
        return Summary(report)


@pytest.fixture(autouse=True)
def without_ray(monkeypatch):
    monkeypatch.setattr(module, "ray_session", lambda *_args, **_kwargs: nullcontext())
    monkeypatch.setattr(module, "read_resources", lambda: Resources.unshared(cpus=4.0))
    monkeypatch.setattr(module, "own_actors", lambda: frozenset())
    monkeypatch.setattr(module, "start_run_state", Handle)
    monkeypatch.setattr(module, "TableStream", Reports)
    monkeypatch.setattr(module, "split_on_worker", lambda work, tells: work())
    monkeypatch.setattr(module.ray, "get", lambda value: value)
    monkeypatch.setattr(module, "end_run_state", Handle.end)
    monkeypatch.setattr(module.ray, "is_initialized", lambda: True)

    @contextmanager
    def wait_for_pool(plan, *, stop):
        yield None if stop else plan(Resources.unshared(cpus=4.0))

    monkeypatch.setattr(module, "wait_for_pool", wait_for_pool)


@pytest.fixture
def run(tmp_path):
    def make(*script, overwrite=False, on_progress=None, options=None, **changes):
        request = Request(Store(tmp_path / "out", None, OutputError), overwrite)
        job = Numbers(request, list(script), **changes)
        result = run_job(job, options=options or JobOptions(), on_progress=on_progress)
        return job, result

    return make


def test_a_run_without_faults_is_one_pass(run, tmp_path):
    told = []
    job, result = run(["done", "done", "done"], on_progress=told.append)
    assert result.exit_code == 0
    assert len(job.passes) == 1
    assert [(progress.finished, progress.found) for progress in told] == [(1, 3), (2, 3), (3, 3)]
    assert job.events[-1] == "finalise True"
    out = tmp_path / "out"
    assert json.loads((out / "summary.json").read_text()) == {"done": 3, "failed": 0, "skipped": 0}
    assert (out / "run.json").exists()
    assert not (out / LEASE_FOLDER).exists()


def test_nothing_of_a_run_stays_when_its_caller_has_had_enough(run, monkeypatch):
    """Such as who interrupts the cell of a notebook, whose process goes on."""
    streams, states = [], []

    def stream(records):
        streams.append(Reports(records))
        return streams[-1]

    def state():
        states.append(Handle())
        return states[-1]

    def interrupt(_progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "TableStream", stream)
    monkeypatch.setattr(module, "start_run_state", state)
    with pytest.raises(KeyboardInterrupt):
        run(["done", "done", "done"], on_progress=interrupt)
    assert [stream.was_abandoned for stream in streams] == [True]
    assert [state.has_ended for state in states] == [True]


def test_every_state_of_a_run_ends_with_it(run, monkeypatch):
    states = []

    def state():
        states.append(Handle())
        return states[-1]

    monkeypatch.setattr(module, "start_run_state", state)
    run(["done", "done"], [], [])
    assert len(states) > 1
    assert all(state.has_ended for state in states)


def test_what_is_missing_is_retried_in_isolation_and_then_in_quarantine(run):
    job, result = run(["done", "done"], [])
    assert [taken.is_isolated for taken in job.passes] == [False, True]
    assert job.passes[1].missing == 1
    assert job.events == ["done", "done", "quarantine", "finalise True"]
    assert result.counters.failures.most_common() == {"poison": 1}
    assert result.exit_code == 8


def test_what_came_back_undone_is_retried_and_never_in_quarantine(run):
    job, result = run(["done", "unfinished", "done"], ["unfinished"])
    assert "quarantine" not in job.events
    assert job.events[-1] == "finalise False"
    assert (result.counters.done, result.counters.unfinished) == (2, 1)
    assert result.exit_code == 8


def test_items_that_were_not_alone_are_not_poison(run):
    job, _ = run(["done", "done"], [], one_by_one=False)
    assert "quarantine" not in job.events


def test_a_pass_that_stalls_is_followed_by_two_in_isolation_and_then_by_an_error(run):
    stalled = StalledError("half an hour")
    job, result = run([stalled], [stalled], ["done", "done", "done"])
    assert len(job.passes) == 3
    assert result.exit_code == 0
    with pytest.raises(ConfigError, match="no progress"):
        run([stalled], [stalled], [stalled])


def test_packets_of_which_nothing_gets_done_end_the_run(run, tmp_path):
    with pytest.raises(OutputError, match=r"out: expected work that gets done.*, found store away"):
        run(["unfinished"] * 4, items=4)
    assert not (tmp_path / "out" / LEASE_FOLDER).exists()


def test_too_many_failures_end_the_run_without_another_pass(run):
    options = JobOptions(max_failed_fraction=0.1)
    job, result = run(["failed"] * 100, items=200, options=options)
    assert len(job.passes) == 1
    assert job.passes[0].state.state.is_stopping()
    assert result.exit_code == 9
    assert job.events[-1] == "finalise False"


def test_what_is_done_before_is_told(run):
    _, result = run(["done", "done", "done"], known=7)
    assert result.counters.skipped == 7


def test_what_failed_before_counts_again(run):
    _, result = run(["done", "done", "done"], failed_before=1)
    assert result.exit_code == 8
    _, result = run(["done"] * 9, items=9, failed_before=1, options=JobOptions(max_failed_fraction=0.1))
    assert result.exit_code == 0


def test_a_shard_has_a_summary_of_its_own(run, tmp_path):
    _, result = run(["done"], items=1, options=JobOptions(shard=(2, 3)))
    assert result.summary_name == "summary-2-of-3.json"
    assert (tmp_path / "out" / "summary-2-of-3.json").exists()


def test_a_run_that_starts_over_takes_the_results_that_are_there(run, tmp_path):
    run(["done"], items=1)
    for name in ("results/1", "results/my notes"):
        Store(tmp_path / "out" / name).put(b"x")
    run(["done"], items=1, overwrite=True)
    assert [path.name for path in (tmp_path / "out" / "results").iterdir()] == ["my notes"]


def test_threads_of_the_first_start_are_kept(run):
    run(["done"], items=1, options=JobOptions(threads=2))
    job, _ = run(["done"], items=1)
    assert job.passes[0].pool.threads == 2
    job, _ = run(["done"], items=1, options=JobOptions(threads=3))
    assert job.passes[0].pool.threads == 3


def test_actors_that_there_will_never_be_room_for_are_refused_before_anything_is_written(run, tmp_path):
    with pytest.raises(ConfigError, match="actors"):
        run(["done"], options=JobOptions(actors=99))
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_stopped_before_it_has_workers_ends_with_the_signal(run, monkeypatch):
    @contextmanager
    def stopped(_on_stop):
        stop = module.StopRequest()
        stop.signal_number = 15
        yield stop

    monkeypatch.setattr(module, "stop_on_signals", stopped)
    job, result = run(["done"])
    assert job.passes == []
    assert result.exit_code == 143
    assert job.events == ["finalise False"]


@pytest.fixture
def stopped(monkeypatch):
    """A run that is asked to end before it has begun."""
    stop = module.StopRequest()
    stop.signal_number = 15
    monkeypatch.setattr(module, "stop_on_signals", lambda _: nullcontext(stop))


def cut_short(*_arguments, **_named):
    raise CutShortError("the end", expected="an output that is settled soon", found="20 s")


def test_a_run_that_is_stopped_ends_with_the_signal_and_a_summary_however_long_settling_takes(
    run, monkeypatch, stopped, tmp_path, caplog
):
    monkeypatch.setattr(Numbers, "finalise", cut_short)
    _, result = run(["done"])
    assert result.exit_code == 143
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["done"] == 0
    assert "settled soon" in caplog.text
    assert not (tmp_path / "out" / LEASE_FOLDER).exists()


def test_a_run_that_is_stopped_while_it_reads_what_is_done_ends_with_the_signal(run, monkeypatch, stopped):
    monkeypatch.setattr(module, "split_on_worker", cut_short)
    job, result = run(["done"])
    assert (result.exit_code, job.passes, job.events) == (143, [], ["finalise False"])


def test_a_run_that_is_stopped_while_it_looks_at_what_is_asked_ends_with_the_signal(
    run, monkeypatch, stopped, tmp_path
):
    monkeypatch.setattr(Numbers, "facts", cut_short)
    with pytest.raises(SystemExit) as ended:
        run(["done"])
    assert ended.value.code == 143
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("settling", [cut_short, lambda: iter(())], ids=["cut short", "without its page"])
def test_a_run_that_lost_its_lease_says_so_however_settling_ends(run, monkeypatch, settling):
    lost = OutputError("out", expected="a lease that stays", found="another run")

    def finalise(job, *, is_complete):
        held[0](lost)
        return settling()

    held, hold = [], module.hold_lease
    monkeypatch.setattr(
        module,
        "hold_lease",
        lambda *args, on_lost, **more: held.append(on_lost) or hold(*args, on_lost=on_lost, **more),
    )
    monkeypatch.setattr(Numbers, "finalise", finalise)
    with pytest.raises(OutputError, match="a lease that stays"):
        run(["done", "done", "done"])


def test_a_run_that_is_stopped_while_it_stands_still_waits_for_nobody(run, monkeypatch):
    """No worker is at anything: after ten seconds its pipeline is given up."""
    now = [0.0]
    streams = []

    class Silent(Reports):
        def __init__(self, records):
            super().__init__(records)
            streams.append(self)

        def poll(self, *, seconds):
            now[0] += seconds
            stop.signal_number = 15

    stop = module.StopRequest()
    monkeypatch.setattr(module, "TableStream", Silent)
    monkeypatch.setattr(module, "stop_on_signals", lambda _: nullcontext(stop))
    monkeypatch.setattr(module, "Standstill", partial(module.Standstill, clock=lambda: now[0]))
    job, result = run(["done"])
    assert streams[0].was_abandoned
    assert 10.0 <= now[0] < 15.0
    assert result.exit_code == 143
    assert job.events == ["finalise False"]


def test_a_run_that_is_stopped_waits_for_workers_that_are_at_something(run, monkeypatch):
    now = [0.0]

    class Busy(Reports):
        def poll(self, *, seconds):
            now[0] += seconds
            stop.signal_number = 15
            return super().poll(seconds=seconds) if now[0] > 100.0 else None

    stop = module.StopRequest()
    monkeypatch.setattr(module, "TableStream", Busy)
    monkeypatch.setattr(module, "stop_on_signals", lambda _: nullcontext(stop))
    monkeypatch.setattr(module, "Standstill", partial(module.Standstill, clock=lambda: now[0]))
    monkeypatch.setattr(module, "living", len)
    monkeypatch.setattr(
        RunState, "look", lambda _: Look(found=3, is_listed=True, workers=1, busy=("a",), fault=None)
    )
    _, result = run(["done"])
    assert result.counters.done == 1
    assert result.exit_code == 143


def test_a_run_that_stands_still_says_what_it_waits_for(run, monkeypatch, caplog):
    now = [0.0]

    class Late(Reports):
        def poll(self, *, seconds):
            now[0] += seconds
            return super().poll(seconds=seconds) if now[0] > 9.0 else None

    held = Resources(cpus=4.0, free_cpus=0.5, holders=("Model of job 02 (3.5 CPUs)",))
    monkeypatch.setattr(module, "TableStream", Late)
    monkeypatch.setattr(module, "read_resources", lambda: held if now[0] else Resources.unshared(cpus=4.0))
    monkeypatch.setattr(module, "Standstill", partial(module.Standstill, clock=lambda: now[0]))
    _, result = run(["done"] * 3)
    assert result.exit_code == 0
    assert "waiting for 1.75 CPUs: 0.5 of 4 are free, held by Model of job 02 (3.5 CPUs)" in caplog.messages


@pytest.mark.parametrize("restarts", [3, 2])
def test_workers_that_die_before_they_are_ready_end_the_run_and_fail_no_item(run, monkeypatch, restarts):
    now = [0.0]

    class Nothing(Reports):
        def poll(self, *, seconds):
            now[0] += seconds
            return super().poll(seconds=seconds) if now[0] > 60.0 else None

    monkeypatch.setattr(module, "TableStream", Nothing)
    monkeypatch.setattr(module, "Standstill", partial(module.Standstill, clock=lambda: now[0]))
    crashing = {"10.0.0.5": 4} if restarts >= 3 else {}
    monkeypatch.setattr(module, "crashing", lambda restarts, but=(): crashing)
    if restarts < 3:
        assert run(["done"] * 3)[1].exit_code == 0
        return
    with pytest.raises(ConfigError, match=r"10\.0\.0\.5: expected one that gets ready.*died 4 times"):
        run(["done"] * 3)
    assert now[0] < 40.0


def test_a_worker_that_crashes_again_and_again_beside_others_is_told(run, monkeypatch, caplog):
    monkeypatch.setattr(module, "_CRASHES_SECONDS", 0.0)
    monkeypatch.setattr(module, "crashing", lambda restarts: {"10.0.0.5": restarts + 1})
    state = Handle()
    state.join.remote("another")
    monkeypatch.setattr(module, "start_run_state", lambda: state)
    assert run(["done"] * 3, on_progress=lambda _: None)[1].exit_code == 0
    assert sum("a worker on 10.0.0.5 has died 4 times" in line for line in caplog.messages) == 1


def test_a_job_has_somebody_to_tell_from_its_first_task_on(run):
    job, _ = run(["done", "done", "done"])
    assert job.tells is job.passes[0].state


def test_items_whose_tasks_could_not_begin_are_not_blamed(run, monkeypatch):
    """Ray drops their blocks, and says why in its log only."""
    lost = ModuleNotFoundError("No module named 'soundfile'")

    class Lost(Reports):
        def poll(self, *, seconds):
            found = super().poll(seconds=seconds)
            if found is None:
                try:
                    raise RaySystemError(lost)
                except RaySystemError:
                    logging.getLogger(_TELLS_OF_BLOCKS).exception("dropped")
            return found

    monkeypatch.setattr(module, "TableStream", Lost)
    with pytest.raises(ConfigError, match=r"what the job needs, found .*No module named 'soundfile'"):
        run([])
    with pytest.raises(ConfigError, match="No module named 'soundfile'"):
        run(["done", "done"], [])
    assert run(["done"] * 3)[1].exit_code == 0  # what was lost was done by somebody else


def test_if_every_item_is_poison_it_is_something_else(run):
    with pytest.raises(ConfigError, match="workers that died at each of 21 items"):
        run([], [], items=21)
    assert run([], [], items=20)[0].events == ["quarantine", "finalise False"]
