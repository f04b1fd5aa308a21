"""Stages of a Ray Data pipeline as this house builds them: what runs where, and what happens when a worker dies.

Each of them passes tables on. What they do to an item never raises: a fault of an item is a row.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import ray.data
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError
from ray.util.annotations import RayDeprecationWarning

from uss_ray.errors import ConfigError, UssRayError
from uss_ray.pipelines.runtime.cluster import WorkerPool
from uss_ray.pipelines.runtime.source import BLOCK_BYTES

_TASK_RETRIES = 2

TableStage = Callable[..., pa.Table | Iterator[pa.Table]]


def set_up_ray_data() -> None:
    """Set what all pipelines have in common, before the first dataset is made."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # Small blocks leave a stage as they are made; Ray would gather 128 MiB of rows before it hands them on.
    context.target_max_block_size = BLOCK_BYTES
    # An item that kills its worker each time costs its block; the caller finds what is missing and tries it alone.
    context.max_errored_blocks = -1
    context.execution_options.preserve_order = False
    context.execution_options.verbose_progress = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


def map_tables(
    rows: ray.data.Dataset,
    stage: TableStage,
    *,
    cpus: float,
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
            stage,
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
    rows_at_a_time: int,
    is_alone: bool = False,
    **arguments: Any,
) -> ray.data.Dataset:
    """Put a fixed pool of warm actors behind a dataset; they come back from a crash, and try a batch again twice.

    Parameters
    ----------
    rows : Dataset
    stage : type
        Made once an actor with `arguments`, then called with tables.
    pool : WorkerPool
    rows_at_a_time : int
    is_alone : bool, default=False
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
            stage,
            fn_constructor_kwargs=arguments,
            batch_size=rows_at_a_time,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                size=pool.actors,
                max_tasks_in_flight_per_actor=1 if is_alone else None,
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


class StalledError(Exception):
    """A pipeline stands still, such as when a lost machine leaves no CPU to decode on."""


def iterate_tables(rows: ray.data.Dataset) -> Iterator[pa.Table]:
    """Run a pipeline and give its tables as they come.

    Raises
    ------
    StalledError
        If nothing came for half an hour, or `RAY_DATA_EXECUTION_NO_PROGRESS_TIMEOUT_S`.
    UssRayError
        What stopped the pipeline: our own error where there is one below Ray's.
    """
    try:
        # A prefetched table would hold back the one before it until it is there itself.
        yield from rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except ExecutionTimeoutError as error:
        raise StalledError(str(error)) from error
    except RayError as error:
        raise own_error(error) from error


def own_error(error: BaseException) -> UssRayError:
    """Find the error of ours in what Ray wraps it into."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UssRayError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    first_line = next(
        (line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__
    )
    return ConfigError("Ray job", expected="workers that start and stay", found=first_line.strip())
