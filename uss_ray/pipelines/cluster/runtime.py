"""Connecting to Ray, and how much of a machine each worker gets."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

from uss_ray.errors import ConfigError

_THREADS_PER_ACTOR = 2
_LOCAL_STORE_BYTES = 256 << 20  # rows of metadata are all that goes through it
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}


@dataclass(frozen=True, kw_only=True)
class WorkerPool:
    """The warm actors of a job.

    Parameters
    ----------
    actors : int
        How many.
    cpus_per_actor : int
        CPUs that Ray sets aside for each, and threads that its networks use.
    gpus_per_actor : int
        0 or 1.
    """

    actors: int
    cpus_per_actor: int
    gpus_per_actor: int


@contextmanager
def ray_session(address: str | None = None) -> Iterator[None]:
    """Run with Ray: the one that is there, the cluster at an address, or a local one that ends with the block.

    Parameters
    ----------
    address : str or None, default=None
        As `ray.init` takes it; None takes `RAY_ADDRESS`, or starts a local Ray.

    Raises
    ------
    ConfigError
        If there is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    for name, value in (_QUIET if address else _QUIET | _local_settings()).items():
        os.environ.setdefault(name, value)
    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            _start_local()
    except (ConnectionError, ValueError) as error:
        raise ConfigError(f"Ray address {address}", expected="a running cluster", found=str(error)) from error
    try:
        yield
    finally:
        ray.shutdown()


def plan_pool(*, recordings: int, actors: int | None = None) -> WorkerPool:
    """Share the machines of the running Ray among actors.

    Parameters
    ----------
    recordings : int
        There are never more actors than recordings; at least 1.
    actors : int or None, default=None
        Wanted number; None takes one a GPU, or one for each two CPUs where there is no GPU.

    Returns
    -------
    WorkerPool
        What each of them gets.

    Raises
    ------
    ConfigError
        If there are more actors than CPUs or GPUs.
    """
    resources = ray.cluster_resources()
    cpus, gpus = max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0))
    most = gpus or cpus
    if actors is not None and not 1 <= actors <= most:
        kind = "GPUs" if gpus else "CPUs"
        raise ConfigError("actors", expected=f"1 to {most}, the {kind} there are", found=str(actors))
    wanted = actors or gpus or max(1, cpus // _THREADS_PER_ACTOR)
    size = min(wanted, recordings)
    return WorkerPool(actors=size, cpus_per_actor=max(1, cpus // size), gpus_per_actor=min(1, gpus))


def _start_local() -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=False,
        object_store_memory=_LOCAL_STORE_BYTES,
    )


def _local_settings() -> dict[str, str]:
    """Protect a local Ray by a token of this process alone; Ray itself would leave one in the home directory.

    Its core logs to its session folder only: that Ray Data keeps an actor's arguments in the store is no error of ours.
    """
    return {"RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_BACKEND_LOG_LEVEL": "fatal"}
