"""What all jobs have in common, once: session, lease, pool, passes, counters, progress, finalising, summary.

A job says what differs: its pipeline, and what its reports mean. The decisions are `retry`'s, `breaker`'s, `pool`'s and
`counters`'; here they meet Ray.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import ray
import ray.data

from uss_ray.api.owned import Owned
from uss_ray.errors import ConfigError, OutputError
from uss_ray.pipelines.runtime.breaker import CircuitBreaker
from uss_ray.pipelines.runtime.cluster import crashing, living, own_actors, read_resources, wait_for_pool
from uss_ray.pipelines.runtime.context import LostBlocks, quiet_ray_data
from uss_ray.pipelines.runtime.counters import Counters, Increment
from uss_ray.pipelines.runtime.identity import RunIdentity, end_overwriting, open_run
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.pool import Shortage, WorkerPool, decoders_beside, plan_pool, refit_pool
from uss_ray.pipelines.runtime.progress import Progress, ProgressHook, Standstill, Warnings
from uss_ray.pipelines.runtime.retry import PassResult, Step, next_step
from uss_ray.pipelines.runtime.run_state import Look, end_run_state, start_run_state
from uss_ray.pipelines.runtime.session import ray_session
from uss_ray.pipelines.runtime.stages import CutShortError, Pass, StalledError, TableStream, split_on_worker
from uss_ray.pipelines.runtime.stopping import StopRequest, stop_on_signals
from uss_ray.results.index.table import RunFacts
from uss_ray.store.lease import hold_lease, take_turn
from uss_ray.store.store import Store

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_ABANDON_SECONDS = 10.0  # after a stop or a fault of the run, when no worker is at anything
_CRASHES = 3
_MOST_POISON = 20  # of items that a run has tried, none of which was done
_CRASHES_SECONDS = 15.0  # between two looks for workers that crash beside others
_COUNT_SECONDS = 0.5  # between two questions how much was found


class Summary(Protocol):
    """What `summary.json` says."""

    def to_json(self) -> str: ...  # noqa: D102


class JobRequest(Protocol):
    """What every job is asked, whatever it does."""

    @property
    def output_store(self) -> Store: ...  # noqa: D102

    @property
    def device(self) -> str: ...  # noqa: D102

    @property
    def overwrite(self) -> bool: ...  # noqa: D102


S = TypeVar("S", bound=Summary)


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a summary is made of.

    Parameters
    ----------
    facts : RunFacts
    counters : Counters
    stage_workers : dict of str to int
        How many processes do each stage, in the order of the pipeline.
    started_at, ended_at : datetime
    wall_seconds : float
    """

    facts: RunFacts
    counters: Counters
    stage_workers: dict[str, int]
    started_at: datetime
    ended_at: datetime
    wall_seconds: float


@dataclass(frozen=True, kw_only=True)
class LedgerFacts:
    """What the driver takes of a ledger, which itself stays on the cluster.

    Parameters
    ----------
    earlier : Increment, optional
        What of it counts in this run.
    most_actors : int or None, default=None
        More would find nothing to do; None where that is not known before the input was listed.
    """

    earlier: Increment = field(default_factory=Increment)
    most_actors: int | None = None


class Job(ABC, Generic[S]):
    """One kind of job on one input; `run_job` runs it.

    Attributes
    ----------
    kind : str
        Such as `archive`; label of the metrics.
    stages : tuple of str
        Names of the stages whose busy time is told: the first runs beside the actors, the others in them.
    owned : Owned
        What below the output root tells of results.
    request : JobRequest
    tells : actor handle
        Of the run's state: told what the stores of workers warn of. Set by `run_job` before it asks for anything else.
    """

    kind: ClassVar[str]
    stages: ClassVar[tuple[str, ...]]
    owned: ClassVar[Owned]
    request: JobRequest
    tells: Any = None

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the items come from."""

    @property
    def output(self) -> Store:
        """Output root."""
        return self.request.output_store

    @abstractmethod
    def facts(self) -> RunFacts:
        """Say what shapes the results; called once, first of all in the session."""

    def workspace(self) -> AbstractContextManager[None]:
        """Keep what the workers need while they run, such as a folder."""
        return nullcontext()

    @abstractmethod
    def ledger_reader(self) -> Callable[[], tuple[Any, LedgerFacts]]:
        """Give a function for a worker, which gives what is done, and what the driver takes of it."""

    @abstractmethod
    def pipeline(self, run: Pass) -> ray.data.Dataset:
        """Build the stages of a pass, from top to bottom; its rows are reports."""

    @abstractmethod
    def is_one_by_one(self, run: Pass) -> bool:
        """Tell whether each item has a worker to itself in an isolated pass."""

    @abstractmethod
    def read(self, record: dict[str, Any]) -> Iterator[Increment]:
        """Read a report: the first increment says whether anything got done, and what it took."""

    @property
    def has_trailing(self) -> bool:
        """Whether something comes later than its reports."""
        return False

    def trailing(self, *, seconds: float) -> Iterator[Increment]:  # noqa: ARG002
        """Give what has come later than its reports; wait so long if nothing has."""
        return iter(())

    def abandon(self) -> Iterator[Increment]:
        """Wait no more for what comes later."""
        return iter(())

    @abstractmethod
    def quarantine(self, run: Pass) -> Iterator[Increment]:
        """Fail what is missing: each item was alone when its worker died."""

    @abstractmethod
    def finalise(self, *, is_complete: bool) -> Iterator[Increment]:
        """Bring the output into order; `is_complete` if everything that was found is done."""

    @abstractmethod
    def summary(self, report: RunReport) -> S:
        """Sum the run up."""


@dataclass(frozen=True, kw_only=True)
class JobResult(Generic[S]):
    """How a run ended.

    Parameters
    ----------
    output : str
        Output root.
    counters : Counters
        Sums of this run.
    summary : Summary
        As in `summary.json`.
    summary_name : str
        Its name below the output root; a shard has its own.
    max_failed_fraction : float, default=1.0
        See `JobOptions`.
    signal_number : int or None, default=None
        What stopped the run.
    """

    output: str
    counters: Counters
    summary: S
    summary_name: str
    max_failed_fraction: float = 1.0
    signal_number: int | None = None

    @property
    def exit_code(self) -> int:
        """Tell how it ended: 0 for success, 8 if some items are not done, 9 if none is.

        128 + signal for a run that was stopped.
        """
        return self.counters.exit_code(
            max_failed_fraction=self.max_failed_fraction, signal_number=self.signal_number
        )


def run_job(
    job: Job[S],
    *,
    options: JobOptions,
    on_progress: ProgressHook | None = None,
) -> JobResult[S]:
    """Run a job from its lease to its summary, or go on where an earlier run of it ended.

    A request to overwrite lets results of an earlier run not count, but for those of an overwriting run that has not
    succeeded yet.

    Parameters
    ----------
    job : Job
    options : JobOptions
    on_progress : callable, optional
        Called as items are done.

    Raises
    ------
    UssRayError
        If another run writes to the output, holds results of another identity, or the cluster is too small; later if
        nothing can be done any more. What was done until then stays.
    """
    started = time.monotonic(), datetime.now(UTC)
    plan = partial(
        plan_pool, actors=options.actors, device=job.request.device, actors_per_gpu=options.actors_per_gpu
    )
    run = _Run(job=job, options=options, on_progress=on_progress)
    with (
        ray_session(options.address, verbose=options.verbose),
        closing(run),
        quiet_ray_data(verbose=options.verbose) as run.lost_blocks,
        stop_on_signals(run.end_by_signal) as run.stop,
    ):
        turn = partial(take_turn, job.output, job=job.kind, shard=options.shard, sleep=run.stop.sleep)
        plan(read_resources())  # refuses what there will never be room for
        run.begin()
        facts = run.facts()
        with hold_lease(
            job.output, job=job.kind, shard=options.shard, on_lost=run.give_up, sleep=run.stop.sleep
        ):
            with turn():
                identity, is_resumed = open_run(
                    RunIdentity.of(job.source, run=facts, threads=options.threads or 1),
                    output=job.output,
                    owned=job.owned,
                    overwrite=job.request.overwrite,
                )
            if is_resumed and options.threads not in (None, identity.threads):
                logger.warning(
                    "%d threads a worker instead of the %d of the first start: the last bit of a sample may differ",
                    options.threads,
                    identity.threads,
                )
            with job.workspace():
                run.drive(partial(plan, threads=options.threads or identity.threads))
            with turn():
                run.settle()
                report = RunReport(
                    facts=facts,
                    counters=run.counters,
                    stage_workers=run.stage_workers(),
                    started_at=started[1],
                    ended_at=datetime.now(UTC),
                    wall_seconds=time.monotonic() - started[0],
                )
                summary = job.summary(report)
                name = _summary_name(options.shard)
                (job.output / name).put(summary.to_json().encode())
                result = JobResult(
                    output=str(job.output),
                    counters=run.counters,
                    summary=summary,
                    summary_name=name,
                    max_failed_fraction=options.max_failed_fraction,
                    signal_number=run.stop.signal_number,
                )
                if result.exit_code == 0:
                    end_overwriting(job.output, shard=options.shard)
    return result


@dataclass(kw_only=True)
class _Run:
    """The passes of a job over what is missing."""

    job: Job[Any]
    options: JobOptions
    on_progress: ProgressHook | None
    counters: Counters = field(default_factory=Counters)
    stop: StopRequest = field(default_factory=StopRequest)
    lost_blocks: LostBlocks = field(default_factory=LostBlocks)
    _state: Any = None
    _states: list[Any] = field(default_factory=list)
    _pool: WorkerPool | None = None
    _decoders: int = 1
    _passes: list[PassResult] = field(default_factory=list)
    _lost: OutputError | None = None
    _work_began: float | None = None
    _finished_before: int = 0
    _earlier_actors: frozenset[str] = frozenset()
    _found: int = 0
    _found_at: float = float("-inf")
    _has_workers: bool = False
    _crashes_at: float = field(default_factory=time.monotonic)
    _planning: ExitStack = field(default_factory=ExitStack)
    _warnings: Warnings = field(default_factory=Warnings)

    def __post_init__(self) -> None:
        self._breaker = CircuitBreaker(max_failed_fraction=self.options.max_failed_fraction)

    @property
    def is_complete(self) -> bool:
        """Whether all that there is was done, in a run over all."""
        if not self._passes or self._passes[-1].is_stopped or self.stop or self.options.retry_failed:
            return False
        return not self._missing()

    def stage_workers(self) -> dict[str, int]:
        """Tell how many processes do each stage."""
        actors = self._pool.actors if self._pool else 0
        first, *others = self.job.stages
        return {first: self._decoders, **dict.fromkeys(others, actors)}

    def begin(self) -> None:
        """Have a state, of which the work between the passes tells too."""
        self._state = self.job.tells = self._new_state()

    def close(self) -> None:
        """Let nothing of the run stay on the cluster."""
        self._state = None  # a signal may still come
        for state in self._states:
            end_run_state(state)

    def end_by_signal(self) -> None:
        """Say what a signal does, and stop."""
        at_work = self._pool.actors if self._pool else 0
        logger.warning("finishing what %d workers have in hand; a second signal ends it at once", at_work)
        self.ask_to_stop()

    def ask_to_stop(self) -> None:
        """Let what is in flight end, and begin nothing more."""
        # In a thread of its own, maybe after the end: a call to a Ray that is gone would start another one.
        if self._state is not None and ray.is_initialized():
            ray.get(self._state.stop.remote())

    def give_up(self, fault: OutputError) -> None:
        """End the run with a fault of its own."""
        self._lost = fault
        if self._state is not None:
            self._state.give_up.remote(fault)

    def drive(self, plan: Callable[..., WorkerPool | Shortage]) -> None:
        """Run passes until nothing is missing, or the run is to end before it is known what is."""
        with self._cutting_short():
            self._drive(plan)

    def _drive(self, plan: Callable[..., WorkerPool | Shortage]) -> None:
        ledger, facts = split_on_worker(self.job.ledger_reader(), tells=self._state)
        self.counters.add(facts.earlier)
        with self._planning:
            fitting = partial(plan, most=facts.most_actors)
            pool = self._planning.enter_context(wait_for_pool(fitting, stop=self.stop))
            if pool is None:
                return
            resources = read_resources()
            self._pool, self._decoders = pool, decoders_beside(pool, resources)
            cpus = resources.free_cpus if resources.holders else None
            while True:
                step = next_step(self._passes)
                if step is Step.FINISH:
                    return
                if step is Step.NO_PROGRESS:
                    raise ConfigError(
                        "Ray cluster",
                        expected="workers that go on (what is done stays, and the same command goes on)",
                        found="no progress, although fewer workers were tried",
                    )
                missing = 0
                if step is not Step.PASS_OVER_ALL:
                    missing = self._passes[-1].missing
                    ledger, _ = split_on_worker(self.job.ledger_reader(), tells=self._state)
                if step is Step.ISOLATE:
                    self.begin()
                    self.counters.forget_unfinished()
                    pool = self._pool = refit_pool(pool, read_resources())
                run = Pass(
                    ledger=ledger,
                    # what was found in the passes is still asked for afterwards
                    state=self._new_state() if step is Step.QUARANTINE else self._state,
                    pool=pool,
                    is_isolated=step is Step.ISOLATE,
                    missing=missing,
                    retry_failed=self.options.retry_failed,
                    cpus=cpus,
                )
                if step is Step.QUARANTINE:
                    self._refuse_to_blame_all(missing)
                    for increment in self.job.quarantine(run):
                        self._count(increment)
                    return
                self._passes.append(self._pass(run))

    def facts(self) -> RunFacts:
        """Ask the job what shapes its results; a stop while it looks has nothing to sum up."""
        try:
            return self.job.facts()
        except CutShortError as error:
            logger.warning("stopped before there was anything to do: %s", error)
            raise SystemExit(128 + (self.stop.signal_number or 0)) from error

    def settle(self) -> None:
        """Bring the output into order, as far as there is time for it: what was done stays, and so do the sums."""
        with self._cutting_short():
            for increment in self.job.finalise(is_complete=self.is_complete):
                self.counters.add(increment)
        if self._lost is not None:  # while the job went on without what was cut short, such as its page
            raise self._lost

    @contextmanager
    def _cutting_short(self) -> Iterator[None]:
        """Let what takes too long once the run is to end be left to the next one; a run that is lost says why."""
        try:
            yield
        except CutShortError as error:
            if self._lost is not None:
                raise self._lost from error
            logger.warning("%s", error)

    def _new_state(self) -> Any:
        self._states.append(start_run_state())
        return self._states[-1]

    def _pass(self, run: Pass) -> PassResult:
        if self.stop:
            self.ask_to_stop()
        if self._lost is not None:
            raise self._lost
        self._finished_before, has_stalled = self.counters.finished, False
        self._earlier_actors = own_actors()
        reports = TableStream(self.job.pipeline(run))
        try:
            self._consume(reports, Standstill(run.pool))
        except StalledError as error:
            logger.warning("a pass over what is missing ends: %s", error)
            has_stalled = True
        finally:
            reports.abandon()
        look = self._look()
        if look.fault is not None:
            raise look.fault
        result = PassResult(
            missing=self._missing(look),
            unfinished=self.counters.unfinished,
            is_listed=look.is_listed,
            has_stalled=has_stalled,
            is_stopped=bool(self.stop) or self._has_too_many_failures(),
            was_one_by_one=run.is_isolated and self.job.is_one_by_one(run),
        )
        reason = self.lost_blocks.take()
        did_nothing = self.counters.finished == self._finished_before
        if reason is not None and (run.is_isolated or did_nothing) and next_step([result]) is not Step.FINISH:
            raise ConfigError("Ray worker", expected="one that has what the job needs", found=reason)
        return result

    def _refuse_to_blame_all(self, missing: int) -> None:
        """End the run where every single item seems to be poison: then something else is."""
        if missing > _MOST_POISON and not self.counters.finished:
            raise ConfigError(
                "Ray cluster",
                expected="workers that stay",
                found=f"workers that died at each of {missing} items, and did none"
                " (too little memory, or a library that crashes)",
            )

    def _consume(self, reports: TableStream, standstill: Standstill) -> None:
        before: Look | None = None
        while not reports.has_ended:
            table = reports.poll(seconds=_POLL_SECONDS)
            if table is not None:
                standstill.note_sign()
                for record in table.to_pylist():
                    self._take(record)
            elif not reports.has_ended:
                look = self._look()
                if before != look:
                    standstill.note_sign()
                before = look
                if self._is_abandoned(standstill, look):
                    reports.abandon()
                    break
            for increment in self.job.trailing(seconds=0.0):
                self._count(increment)
            self._tell_who_crashes()
        standstill.note_sign()
        while self.job.has_trailing:
            came = list(self.job.trailing(seconds=_POLL_SECONDS))
            if came:
                standstill.note_sign()
            elif self._is_abandoned(standstill, self._look()):
                came = list(self.job.abandon())
            for increment in came:
                self._count(increment)

    def _tell_who_crashes(self) -> None:
        now = time.monotonic()
        if self._has_workers and now - self._crashes_at >= _CRASHES_SECONDS:
            self._crashes_at = now
            self._warnings.say_who_crashes(crashing(restarts=_CRASHES))

    def _is_abandoned(self, standstill: Standstill, look: Look) -> bool:
        """Say what the run waits for, if it stands still; after a stop it waits for nobody but busy workers.

        Ray starts a worker that crashes again and again, also one that is never ready: then the run ends.
        """
        busy = living(look.busy) if look.busy and standstill.seconds > _POLL_SECONDS else len(look.busy)
        if self.stop or look.fault is not None:
            return not busy and standstill.seconds >= _ABANDON_SECONDS
        line = standstill.line(workers=look.workers, busy=busy, resources=read_resources)
        if line is not None:
            logger.warning("%s", line)
            machines = crashing(restarts=_CRASHES, but=self._earlier_actors) if not look.workers else {}
            if machines:
                machine = next(iter(machines))
                self._state.give_up.remote(
                    ConfigError(
                        f"worker on {machine}",
                        expected="one that gets ready to work",
                        found=f"one that died {_CRASHES + 1} times before it was ready: too little memory, or a"
                        " library that crashes (the logs of Ray on that machine have its last words)",
                    )
                )
        return False

    def _take(self, record: dict[str, Any]) -> None:
        for increment in self.job.read(record):
            if increment.got_done is not None and self._breaker.is_opened_by(got_done=increment.got_done):
                fault = OutputError(
                    str(self.job.output),
                    expected="work that gets done: disks and stores that are there",
                    found=increment.unfinished_reason or "unknown",
                )
                self._state.give_up.remote(fault)
            self._count(increment)

    def _count(self, increment: Increment) -> None:
        self.counters.add(increment)
        if self._has_too_many_failures():
            self._state.begin_no_more.remote()
        if self.on_progress is not None and increment.done + increment.failed + increment.unfinished:
            now = time.monotonic()
            if (
                self._finished_before + self._found < self.counters.finished
                or now - self._found_at > _COUNT_SECONDS
            ):
                self._look()
            self.on_progress(
                Progress(
                    finished=self.counters.finished,
                    failed=self.counters.failed,
                    found=self._finished_before + self._found,
                    audio_seconds=self.counters.audio_seconds,
                    seconds=now - self._work_began if self._work_began is not None else 0.0,
                )
            )

    def _look(self) -> Look:
        look: Look = ray.get(self._state.look.remote())
        self._found, self._found_at = look.found, time.monotonic()
        self._warnings.say(look)
        self._has_workers = bool(look.workers)
        if look.workers:
            if self._work_began is None:
                self._work_began = time.monotonic()
            self._planning.close()  # the next job sees what ours holds
        return look

    def _missing(self, look: Look | None = None) -> int:
        return (look or self._look()).found - (self.counters.finished - self._finished_before)

    def _has_too_many_failures(self) -> bool:
        return self._breaker.has_too_many_failures(
            failed=self.counters.failed, finished=self.counters.finished
        )


def _summary_name(shard: tuple[int, int] | None) -> str:
    return "summary.json" if shard is None else f"summary-{shard[0]}-of-{shard[1]}.json"
