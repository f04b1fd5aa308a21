"""Stages of a Ray Data pipeline as this house builds them: what runs where, and what happens when a worker dies.

Each of them passes tables on. What they do to an item never raises: a fault of an item is a row.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

import pyarrow as pa
import ray
import ray.data
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError
from ray.util.annotations import RayDeprecationWarning

from uss_ray.errors import ConfigError, OutputError, UssRayError
from uss_ray.pipelines.runtime.context import pipeline_context
from uss_ray.pipelines.runtime.guarded import guard
from uss_ray.pipelines.runtime.pool import LISTING_CPUS, WorkerPool
from uss_ray.pipelines.runtime.progress import Warnings
from uss_ray.pipelines.runtime.run_state import begin_telling, is_ending, keep_telling
from uss_ray.pipelines.runtime.source import TableReader, read_tables

_TASK_RETRIES = 2
_POLL_SECONDS = 60.0
_LOOK_SECONDS = 2.0
_QUIET_SECONDS = 8.0  # before the driver says that it waits
_REPEAT_SECONDS = 30.0
_LAST_SECONDS = 20.0  # for reading or settling an output once the run is to end
_KILL_SECONDS = 5.0

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What a pipeline is built for: everything that is not done, or what is missing in isolation.

    Parameters
    ----------
    ledger : object reference
        To what is done; workers take it from Ray's store.
    state : actor handle
        Of `start_run_state`.
    pool : WorkerPool
    is_isolated : bool, default=False
        Whether each item is to have a worker to itself, as far as that is sensible.
    missing : int, default=0
        Items that the pass before left.
    retry_failed : bool, default=False
        Whether items that have failed are what is to do.
    cpus : float or None, default=None
        That the pipeline may take of a cluster that others are on; None means all.
    """

    ledger: Any
    state: Any
    pool: WorkerPool
    is_isolated: bool = False
    missing: int = 0
    retry_failed: bool = False
    cpus: float | None = None

    def read(self, readers: Sequence[TableReader], *, schema: pa.Schema, name: str) -> ray.data.Dataset:
        """Stream what readers list; see `read_tables`. A reader's fault ends the run with that fault."""
        guarded = guard(readers, state=self.state)
        with pipeline_context(cpus=self.cpus):
            return read_tables(guarded, schema=schema, name=name, cpus=LISTING_CPUS)


TableStage = Callable[..., pa.Table | Iterator[pa.Table]]


def cut_blocks(rows: ray.data.Dataset, *, rows_at_a_time: int) -> ray.data.Dataset:
    """Cut a dataset into blocks of so many rows: Ray would do all that comes of a block in one task.

    Notes
    -----
    Ray 2.60 wants a whole CPU for each of these tasks and has no argument for less, so that on a cluster of which
    others hold a part it may wait for ever; the operator itself takes what it is told.
    """
    cut = rows.repartition(target_num_rows_per_block=rows_at_a_time)
    operator: Any = cut._logical_plan.dag
    operator.ray_remote_args["num_cpus"] = LISTING_CPUS
    return cut


def map_tables(
    rows: ray.data.Dataset,
    stage: TableStage,
    *,
    cpus: float,
    tells: Any,
    rows_at_a_time: int | None = None,
    **arguments: Any,
) -> ray.data.Dataset:
    """Put a function behind a dataset; it runs in tasks, wherever there are CPUs, and tries again twice after a crash.

    Parameters
    ----------
    rows : Dataset
    stage : callable
        Called with a table and `arguments`.
    cpus : float
        That one task takes. Stages that differ in it are not fused into one.
    tells : actor handle
        Of `start_run_state`; told what the stage's store warns of.
    rows_at_a_time : int or None, default=None
        None hands over whole blocks.
    **arguments
        For the stage.

    Returns
    -------
    Dataset
    """
    with _keyword_arguments_of_ray():
        return rows.map_batches(
            _telling(stage, tells),
            batch_size=rows_at_a_time,
            batch_format="pyarrow",
            fn_kwargs=arguments,
            num_cpus=cpus,
            max_retries=_TASK_RETRIES,
        )


def map_with_actors(
    rows: ray.data.Dataset,
    stage: type,
    *,
    pool: WorkerPool,
    state: Any,
    is_isolated: bool = False,
    **arguments: Any,
) -> ray.data.Dataset:
    """Put a fixed pool of warm actors behind a dataset; they come back from a crash, and try a batch again twice.

    Parameters
    ----------
    rows : Dataset
    stage : type
        Made once an actor with `state` and `arguments`, then called with tables of one row.
    pool : WorkerPool
    state : actor handle
        Of `start_run_state`; told when an actor is ready, and when it is at work.
    is_isolated : bool, default=False
        Whether an actor holds one batch and no other. Ray sends more ahead, and each that an actor holds when it dies
        has used up one of its attempts, whoever killed it.
    **arguments
        For the constructor. Small: they must outlive the node that they were made on.

    Returns
    -------
    Dataset
    """
    with _keyword_arguments_of_ray():
        return rows.map_batches(
            _noted(stage),
            fn_constructor_kwargs={"state": state, **arguments},
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                size=pool.actors,
                max_tasks_in_flight_per_actor=1 if is_isolated else None,
                # One at a time: with more, a worker that dies takes the report of what another call has committed.
                max_concurrent_calls_per_actor=1,
            ),
            num_cpus=pool.cpus_per_actor,
            num_gpus=pool.gpus_per_actor or None,
            max_restarts=-1,
            max_task_retries=_TASK_RETRIES,
        )


@contextmanager
def _keyword_arguments_of_ray() -> Iterator[None]:
    """Say how often a crash is tried again: Ray 2.60 deprecates that and has no other way yet; left alone, for ever."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RayDeprecationWarning)
        yield


def _telling(stage: TableStage, state: Any) -> TableStage:
    """Make a function of a stage, of the same name for Ray's metrics, whose warnings come to the driver."""

    @wraps(stage)
    def told(table: pa.Table, **arguments: Any) -> pa.Table | Iterator[pa.Table]:
        begin_telling(state)
        return stage(table, **arguments)

    return told


def _noted(stage: type) -> type:
    """Make a class of a stage, of the same name for Ray's metrics, that tells the state what an actor does."""

    class Noted:
        def __init__(self, state: Any, **arguments: Any) -> None:
            begin_telling(state)
            self._stage = stage(state=state, **arguments)
            self._state = state
            self._name = ray.get_runtime_context().get_actor_id() or ""
            state.join.remote(self._name)
            keep_telling(state, self._name)

        def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
            self._state.begin.remote(self._name)
            try:
                yield from self._stage(batch)
            finally:
                self._state.end.remote(self._name)

    Noted.__name__ = Noted.__qualname__ = stage.__name__
    return Noted


class StalledError(Exception):
    """A pipeline stands still, such as when a lost machine leaves no CPU to decode on."""


class TableStream:
    """The tables of a pipeline as they come, by a thread of its own: whoever takes them can look after other things.

    Parameters
    ----------
    rows : Dataset
        Run by this, once.

    Attributes
    ----------
    has_ended : bool
        Whether the last table has been taken.
    """

    def __init__(self, rows: ray.data.Dataset) -> None:
        self._rows = cast(Any, rows)
        self._executor: Any = None
        self._is_abandoned = False
        self.has_ended = False
        self._tables: queue.SimpleQueue[pa.Table | BaseException | None] = queue.SimpleQueue()
        self._actors: list[Any] = []
        create = self._rows._create_executor

        def note_executor() -> Any:
            self._executor = create()
            execute = self._executor.execute

            def start(*arguments: Any, **named: Any) -> Any:
                tables = execute(*arguments, **named)
                self._actors = _actors_of(self._executor)
                return tables

            self._executor.execute = start
            return self._executor

        # Ray 2.60 tells its executor only after the first block, which may never come.
        self._rows._create_executor = note_executor
        threading.Thread(target=self._run, name="tables", daemon=True).start()

    def poll(self, *, seconds: float) -> pa.Table | None:
        """Give the next table; None if none comes in that time, and at the end.

        Raises
        ------
        StalledError
            If nothing came for half an hour, or `RAY_DATA_EXECUTION_NO_PROGRESS_TIMEOUT_S`.
        UssRayError
            What stopped the pipeline: our own error where there is one below Ray's.
        """
        try:
            table = self._tables.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(table, ExecutionTimeoutError):
            raise StalledError(str(table)) from table
        if isinstance(table, RayError):
            raise own_error(table) from table
        if isinstance(table, BaseException):
            raise table
        self.has_ended = table is None
        return table

    def __iter__(self) -> Iterator[pa.Table]:
        """Give all tables."""
        try:
            while not self.has_ended:
                table = self.poll(seconds=_POLL_SECONDS)
                if table is not None:
                    yield table
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Give the pipeline up, with its tasks and actors; one that has ended is let be."""
        self._is_abandoned = True
        if self._executor is not None and not self.has_ended:
            with suppress(RayError):  # a Ray that is gone holds nothing
                self._executor.shutdown(force=True)

    def _run(self) -> None:
        try:
            # A prefetched table would hold back the one before it until it is there itself.
            for table in self._rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                self._tables.put(table)
                if self._is_abandoned:  # before there was anything to shut down
                    self._executor.shutdown(force=True)
        except BaseException as error:  # noqa: BLE001 - raised again where the tables are taken
            end: BaseException | None = error
        else:
            end = None
        self._end_actors()
        self._tables.put(end)

    def _end_actors(self) -> None:
        """Tell the actors to end.

        Ray 2.60 forgets them and waits until nobody in this process has a handle: one in a cycle of references holds
        its CPUs until Python collects it, which a process that waits for just these CPUs never does.
        """
        with suppress(RayError):  # a Ray that is gone holds nothing
            for actor in self._actors:
                actor.__ray_terminate__.remote()
        self._actors.clear()


def _actors_of(executor: Any) -> list[Any]:
    """Give the actors that a pipeline has begun with: of ours it keeps them, whatever dies."""
    pools = [pool for operator in executor._topology if (pool := getattr(operator, "_actor_pool", None))]
    # In this order: one that gets ready meanwhile is in both, and none in neither.
    return [actor for pool in pools for actor in (*pool._pending_actors.values(), *pool._running_actors)]


def rows_of(
    rows: ray.data.Dataset,
    columns: Sequence[str],
    *,
    at_most: int,
    are_items: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> list[dict[str, Any]] | None:
    """Give some columns of all rows of a pipeline that are items; None if there are more of them than that."""
    found: list[dict[str, Any]] = []
    for table in TableStream(rows.select_columns(list(columns))):
        found += are_items(table).to_pylist()
        if len(found) > at_most:
            return None
    return found


class CutShortError(OutputError):
    """A run is to end, and a worker would have read or settled on: what it has not done, the next run does."""


def run_on_worker(work: Callable[..., _T], *arguments: Any, tells: Any, retries: int = _TASK_RETRIES) -> _T:
    """Run a function in a task that takes no CPU, such as for memory that grows with the archive.

    Parameters
    ----------
    work : callable
    *arguments
        For it.
    tells : actor handle
        Of `start_run_state`; told what the function's store warns of, which is logged here.
    retries : int, default=2
        How often it begins anew after its process has died. Of one that was killed for its memory Ray itself would
        try for ever; 0 does not.

    Raises
    ------
    CutShortError
        If the run is to end and the function does not within 20 s; its process is gone then.
    UssRayError
        Of the function; others become one.
    """
    task = ray.remote(_told).options(name=work.__name__, num_cpus=0, max_retries=retries)
    return cast(_T, _get(task.remote(work, tells, *arguments), tells))


def split_on_worker(work: Callable[[], tuple[Any, _T]], *, tells: Any) -> tuple[Any, _T]:
    """Do the same with a function that gives two: of the first a reference comes back, for it may be large."""
    task = ray.remote(_told).options(name=work.__name__, num_cpus=0, num_returns=2)
    references: Any = task.remote(work, tells)
    return references[0], cast(_T, _get(references[1], tells))


def _told(work: Callable[..., _T], tells: Any, *arguments: Any) -> _T:
    begin_telling(tells)
    return work(*arguments)


def _get(reference: Any, tells: Any) -> Any:
    """Wait for a task; say what its store waits for, and now and then that it is waited for itself."""
    told, began, last, stopped = Warnings(), time.monotonic(), -_REPEAT_SECONDS, None
    try:
        while not ray.wait([reference], timeout=_LOOK_SECONDS)[0]:
            told.say(ray.get(tells.look.remote()))
            if stopped is None and is_ending(tells):
                stopped = time.monotonic()
            if stopped is not None and time.monotonic() - stopped >= _LAST_SECONDS:
                _end(reference)
                raise CutShortError(
                    "the end of a stopped run",
                    expected="an output that is read or settled soon (the next run does it)",
                    found=f"a worker that was still at it after {_LAST_SECONDS:.0f} s",
                )
            waited = time.monotonic() - began
            if waited >= _QUIET_SECONDS and waited - last >= _REPEAT_SECONDS:
                last = waited
                since = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() - waited))
                logger.warning("waiting since %s for a worker that reads or settles what was done", since)
        return ray.get(reference)
    except RayError as error:
        raise own_error(error) from error


def _end(reference: Any) -> None:
    """End a task: it must not go on writing when nobody holds the output for it any more."""
    ray.cancel(reference, force=True)
    ray.wait([reference], timeout=_KILL_SECONDS)


def own_error(error: BaseException) -> UssRayError:
    """Find the error of ours in what Ray wraps it into; what wraps it may pass for it, and tells its traceback."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UssRayError) and not isinstance(cause, RayError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    first_line = next(
        (line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__
    )
    return ConfigError("Ray job", expected="workers that start and stay", found=first_line.strip())
