"""Connecting to Ray, and how much of a machine each worker gets."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import ray

from uss_ray.errors import ConfigError
from uss_ray.threads import PATIENT_THREADS

LISTING_CPUS = 0.25
DECODE_CPUS = 0.5

_ACTOR_BYTES = 3 << 29  # most that one takes above its model
_GPU_ACTOR_BYTES = 3 << 30  # the same with what CUDA keeps in a process
# What a GPU does in a moment takes a core a while to prepare and to write, so several cores share one.
_ACTORS_A_GPU = 4
_LIGHT_CPUS = 1  # of a cluster, for stages that list, decode and join while all actors are busy
_LOCAL_STORE_BYTES = 1 << 30
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}


@dataclass(frozen=True, kw_only=True)
class WorkerPool:
    """The warm actors of a job.

    Parameters
    ----------
    actors : int
        How many.
    threads : int
        CPU threads that the networks of each use.
    cpus_per_actor : float
        What Ray sets aside for each.
    gpus_per_actor : float
        0, 1, or the share of a GPU that several have together.
    """

    actors: int
    threads: int
    cpus_per_actor: float
    gpus_per_actor: float


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
    for name, value in (_QUIET if address else _QUIET | PATIENT_THREADS | _local_settings()).items():
        os.environ.setdefault(name, value)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": PATIENT_THREADS},
            )
        else:
            _start_local()
    except (ConnectionError, ValueError) as error:
        raise ConfigError(f"Ray address {address}", expected="a running cluster", found=str(error)) from error
    if callable(handler) and threading.current_thread() is threading.main_thread():
        # Ray has put its own in place of the program's; it would end with another exit code.
        signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        ray.shutdown()


def plan_pool(
    *,
    actors: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    actors_per_gpu: int | None = None,
) -> WorkerPool:
    """Share the machines of the running Ray among actors.

    Parameters
    ----------
    actors : int or None, default=None
        Wanted number; None takes as many as share the GPUs, or as there are CPUs and memory for where there is none.
    threads : int or None, default=None
        CPU threads of each; None takes 1, so that results are the same bits on a machine of any size.
    device : {"auto", "cpu", "cuda"}, default="auto"
        With `"cuda"` and a number of actors, GPUs need not be there yet: a cluster may start machines for them.
    actors_per_gpu : int or None, default=None
        How many share a GPU; None takes 4, fewer where CPUs or memory are short.

    Returns
    -------
    WorkerPool
        What each of them gets.

    Raises
    ------
    ConfigError
        If there are more actors than CPUs or GPUs, or no GPU where one is asked for.
    """
    resources = ray.cluster_resources()
    cpus = max(1, int(resources.get("CPU", 1)))
    gpus = 0 if device == "cpu" else int(resources.get("GPU", 0))
    usable = max(1, cpus - _LIGHT_CPUS)
    each = threads or 1
    sharing = actors_per_gpu or _ACTORS_A_GPU
    # Rounded down: Ray counts ten thousandths of a GPU.
    share = (10_000 // sharing) / 10_000
    if device == "cuda" and actors is not None:
        return WorkerPool(actors=actors, threads=each, cpus_per_actor=1, gpus_per_actor=share)
    if device == "cuda" and not gpus:
        raise ConfigError(
            "device cuda", expected="a GPU, or --actors for a cluster that starts some", found="none"
        )
    memory = int(resources.get("memory", cpus * _GPU_ACTOR_BYTES))
    most = min(gpus * sharing, usable) if gpus else usable
    if actors is not None and not 1 <= actors <= most:
        kind = f"{gpus} GPUs and {cpus} CPUs" if gpus else "CPUs"
        raise ConfigError("actors", expected=f"1 to {most}, for the {kind} there are", found=str(actors))
    if gpus:
        chosen = actors or min(most, max(gpus, memory // _GPU_ACTOR_BYTES))
        return WorkerPool(actors=chosen, threads=each, cpus_per_actor=1, gpus_per_actor=share)
    chosen = actors or max(1, min(usable // each, memory // _ACTOR_BYTES))
    # Never all CPUs: who decodes must find one.
    reserve = min(_LIGHT_CPUS, cpus / 2)
    return WorkerPool(
        actors=chosen, threads=each, cpus_per_actor=min(each, (cpus - reserve) / chosen), gpus_per_actor=0
    )


def most_decoders(pool: WorkerPool) -> int:
    """Tell how many tasks can decode at a time beside the actors."""
    cpus = ray.cluster_resources().get("CPU", 1.0) - pool.actors * pool.cpus_per_actor
    return max(1, int(cpus // DECODE_CPUS))


def refit_pool(pool: WorkerPool) -> WorkerPool:
    """Take away the actors that the running Ray has no room for any more; one always stays."""
    resources = ray.cluster_resources()
    room = (resources.get("CPU", 1.0) - _LIGHT_CPUS) / pool.cpus_per_actor
    if pool.gpus_per_actor:
        room = min(room, resources.get("GPU", 0.0) / pool.gpus_per_actor)
    return replace(pool, actors=max(1, min(pool.actors, int(room))))


def _start_local() -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(
        address="local",  # or Ray would join whatever cluster runs on this machine
        num_cpus=len(os.sched_getaffinity(0)) + _LIGHT_CPUS,
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
