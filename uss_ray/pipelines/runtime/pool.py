"""How many warm actors a job gets, and how large a share of a machine each: arithmetic on what is there and free.

Plans from what is free, for a cluster may have others on it. Knows no Ray; `cluster` reads the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from uss_ray.errors import ConfigError

LISTING_CPUS = 0.25
DECODE_CPUS = 0.5
LIGHT_CPUS = LISTING_CPUS + DECODE_CPUS
"""Least that a job needs beside its actors: one task that lists and one that decodes."""

_RESERVED_CPUS = 1  # of a cluster, for the stages that list, decode and join while all actors are busy
_LEAST_ACTOR_CPUS = 0.1  # logical: an actor on a crowded cluster shares its core
_ACTOR_BYTES = 3 << 29  # most that one takes above its model
_GPU_ACTOR_BYTES = 3 << 30  # the same with what CUDA keeps in a process
# What a GPU does in a moment takes a core a while to prepare and to write, so several cores share one.
_ACTORS_A_GPU = 4
_GRAIN = 10_000  # Ray counts ten thousandths


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a cluster has, and what of it nobody holds.

    Parameters
    ----------
    cpus, gpus : float
        In all.
    free_cpus, free_gpus : float
        Of these; without what other jobs of this house need beside their actors.
    memory : int or None, default=None
        Bytes; None where Ray does not tell.
    holders : tuple of str, default=()
        Who holds the rest, largest first, for messages.
    """

    cpus: float
    free_cpus: float
    gpus: float = 0.0
    free_gpus: float = 0.0
    memory: int | None = None
    holders: tuple[str, ...] = ()

    @classmethod
    def unshared(cls, *, cpus: float, gpus: float = 0.0, memory: int | None = None) -> Resources:
        """Describe a cluster that nobody else is on."""
        return cls(cpus=cpus, free_cpus=cpus, gpus=gpus, free_gpus=gpus, memory=memory)


@dataclass(frozen=True, kw_only=True)
class WorkerPool:
    """The warm actors of a job.

    Parameters
    ----------
    actors : int
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


@dataclass(frozen=True)
class Shortage:
    """Why a pool cannot start yet; as text a line for whoever waits.

    Parameters
    ----------
    needed, free, total : float
    kind : {"CPUs", "GPUs"}
    holders : tuple of str
    """

    needed: float
    free: float
    total: float
    kind: str
    holders: tuple[str, ...] = ()

    def __str__(self) -> str:
        held = f", held by {', '.join(self.holders)}" if self.holders else ""
        return f"waiting for {self.needed:g} {self.kind}: {self.free:g} of {self.total:g} are free{held}"


def plan_pool(
    resources: Resources,
    *,
    actors: int | None = None,
    most: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    actors_per_gpu: int | None = None,
) -> WorkerPool | Shortage:
    """Share what is free among actors.

    Parameters
    ----------
    resources : Resources
    actors : int or None, default=None
        Wanted number; None takes as many as share the GPUs, or as there are CPUs and memory for where there is none.
    most : int or None, default=None
        How many find work; of an unwanted number no more are taken. One is, even if none does.
    threads : int or None, default=None
        CPU threads of each; None takes 1, so that results are the same bits on a machine of any size.
    device : {"auto", "cpu", "cuda"}, default="auto"
        With `"cuda"` and a number of actors, GPUs need not be there yet: a cluster may start machines for them.
    actors_per_gpu : int or None, default=None
        How many share a GPU; None takes 4, fewer where CPUs or memory are short.

    Returns
    -------
    WorkerPool or Shortage
        A shortage passes when others let go of what they hold.

    Raises
    ------
    ConfigError
        If the cluster has not enough even when nobody else is on it.
    """
    refuse_numbered(device)
    wanted = _largest_pool(
        resources, actors=actors, threads=threads, device=device, actors_per_gpu=actors_per_gpu
    )
    if device == "cuda" and actors is not None:
        return wanted
    if actors is None and most is not None:
        wanted = replace(wanted, actors=max(1, min(wanted.actors, most)))
    return _fitted(wanted, resources, is_fixed=actors is not None)


def refuse_numbered(device: str) -> None:
    """Refuse a GPU by its number, where Ray gives each worker its own.

    Raises
    ------
    ConfigError
        If it is one.
    """
    if ":" in device:
        raise ConfigError(
            f"device {device}", expected="auto, cpu or cuda: Ray chooses each worker's GPU", found="a number"
        )


def refit_pool(pool: WorkerPool, resources: Resources) -> WorkerPool:
    """Take away the actors that a cluster has no room for any more, such as one that lost a machine; one stays.

    Counts all there is: what the pass before held may still look held.
    """
    room = (resources.cpus - _RESERVED_CPUS) / pool.cpus_per_actor
    if pool.gpus_per_actor:
        room = min(room, resources.gpus / pool.gpus_per_actor)
    return replace(pool, actors=max(1, min(pool.actors, int(room))))


def decoders_beside(pool: WorkerPool, resources: Resources) -> int:
    """Tell how many tasks can decode at a time beside the actors."""
    return max(1, int((resources.cpus - pool.actors * pool.cpus_per_actor) // DECODE_CPUS))


def _largest_pool(
    resources: Resources,
    *,
    actors: int | None,
    threads: int | None,
    device: str,
    actors_per_gpu: int | None,
) -> WorkerPool:
    """Plan as if nobody else were there."""
    cpus = max(1, int(resources.cpus))
    gpus = 0 if device == "cpu" else int(resources.gpus)
    usable = max(1, cpus - _RESERVED_CPUS)
    each = threads or 1
    sharing = actors_per_gpu or _ACTORS_A_GPU
    share = (_GRAIN // sharing) / _GRAIN
    if device == "cuda" and actors is not None:
        return WorkerPool(actors=actors, threads=each, cpus_per_actor=1, gpus_per_actor=share)
    if device == "cuda" and not gpus:
        raise ConfigError(
            "device cuda",
            expected="a GPU, or a number of actors for a cluster that starts some",
            found="none",
        )
    memory = resources.memory if resources.memory is not None else cpus * _GPU_ACTOR_BYTES
    most = min(gpus * sharing, usable) if gpus else usable
    if actors is not None and not 1 <= actors <= most:
        kind = f"{gpus} GPUs and {cpus} CPUs" if gpus else "CPUs"
        raise ConfigError("actors", expected=f"1 to {most}, for the {kind} there are", found=str(actors))
    if gpus:
        chosen = actors or min(most, max(gpus, memory // _GPU_ACTOR_BYTES))
        return WorkerPool(actors=chosen, threads=each, cpus_per_actor=1, gpus_per_actor=share)
    chosen = actors or max(1, min(usable // each, memory // _ACTOR_BYTES))
    # Never all CPUs: who decodes must find one.
    reserve = min(_RESERVED_CPUS, cpus / 2)
    return WorkerPool(
        actors=chosen, threads=each, cpus_per_actor=min(each, (cpus - reserve) / chosen), gpus_per_actor=0
    )


def _fitted(wanted: WorkerPool, resources: Resources, *, is_fixed: bool) -> WorkerPool | Shortage:
    """Fit a pool into what is free; a single actor takes a smaller share of a core rather than none."""
    room = resources.free_cpus - LIGHT_CPUS
    actors = min(wanted.actors, _whole(room / wanted.cpus_per_actor))
    if wanted.gpus_per_actor:
        by_gpu = min(wanted.actors, _whole(resources.free_gpus / wanted.gpus_per_actor))
        if by_gpu < (wanted.actors if is_fixed else 1):
            needed = wanted.gpus_per_actor * (wanted.actors if is_fixed else 1)
            return Shortage(needed, resources.free_gpus, resources.gpus, "GPUs", resources.holders)
        actors = min(actors, by_gpu)
    if actors >= (wanted.actors if is_fixed else 1):
        return replace(wanted, actors=actors)
    if room >= _LEAST_ACTOR_CPUS and not (is_fixed and wanted.actors > 1):
        return replace(wanted, actors=1, cpus_per_actor=int(room * _GRAIN) / _GRAIN)
    cpus = wanted.actors * wanted.cpus_per_actor if is_fixed and wanted.actors > 1 else _LEAST_ACTOR_CPUS
    return Shortage(
        round(cpus + LIGHT_CPUS, 2),
        round(resources.free_cpus, 2),
        resources.cpus,
        "CPUs",
        resources.holders,
    )


def _whole(ratio: float) -> int:
    return int(ratio + 1e-6)  # 1 / 0.3333 of Ray's rounded shares
