"""What a running Ray has free, who holds the rest, and the wait until a pool has room."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.core.generated import gcs_pb2

from uss_ray.pipelines.runtime.pool import LIGHT_CPUS, Resources, Shortage, WorkerPool
from uss_ray.pipelines.runtime.run_state import RunState
from uss_ray.pipelines.runtime.stopping import StopRequest

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_SETTLE_SECONDS = 3.0  # what a job that has just ended held looks held a moment longer
_LINE_SECONDS = 30.0
_MOST_HOLDERS = 3
_TURN = "planning"
_NAMESPACE = "uss_ray"

Plan = Callable[[Resources], WorkerPool | Shortage]


def read_resources() -> Resources:
    """Ask Ray what there is, and what is free beside the other jobs on it."""
    total, free = ray.cluster_resources(), ray.available_resources()
    others = _Others()
    return Resources(
        cpus=total.get("CPU", 1.0),
        free_cpus=max(0.0, free.get("CPU", 0.0) - others.promised("CPU") - others.runs * LIGHT_CPUS),
        gpus=total.get("GPU", 0.0),
        free_gpus=max(0.0, free.get("GPU", 0.0) - others.promised("GPU")),
        memory=int(total["memory"]) if "memory" in total else None,
        holders=others.holders(),
    )


@contextmanager
def wait_for_pool(plan: Plan, *, stop: StopRequest) -> Iterator[WorkerPool | None]:
    """Wait until a pool has room; while the block runs, no other job of this house plans on the same cluster.

    Leave the block when the actors are up, so that the next one sees what they hold.

    Parameters
    ----------
    plan : callable
        Plans with what is free, as `pool.plan_pool`.
    stop : StopRequest

    Yields
    ------
    WorkerPool or None
        None if the job was stopped before.

    Raises
    ------
    ConfigError
        If there will never be room.
    """
    began = time.monotonic()
    last_line = float("-inf")
    while not stop:
        with _turn() as is_ours:
            resources = read_resources()
            planned = plan(resources)
            if is_ours and isinstance(planned, WorkerPool):
                alone = Resources.unshared(cpus=resources.cpus, gpus=resources.gpus, memory=resources.memory)
                if planned == plan(alone) or time.monotonic() - began >= _SETTLE_SECONDS:
                    yield planned
                    return
        now = time.monotonic()
        if now - began >= _SETTLE_SECONDS and now - last_line >= _LINE_SECONDS:
            last_line = now
            logger.warning("%s", planned if isinstance(planned, Shortage) else "waiting: another job starts")
        time.sleep(_LOOK_SECONDS)
    yield None


class _Others:
    """The other jobs on the cluster, by their actors; tells nothing where Ray does not."""

    def __init__(self) -> None:
        self._mine = ray.get_runtime_context().get_job_id()
        self._alive: list[Any] = []
        self._pending: list[Any] = []
        with suppress(Exception):
            self._alive = _actors("ALIVE")
            self._pending = _actors("PENDING_CREATION")

    @property
    def runs(self) -> int:
        """Other jobs of this house that have workers; one that waits for room itself takes nothing."""
        of_this_house = {actor.job_id for actor in self._alive if actor.class_name == RunState.__name__}
        at_work = {actor.job_id for actor in (*self._alive, *self._pending) if _holds_something(actor)}
        return sum(job.hex() != self._mine for job in of_this_house & at_work)

    def promised(self, kind: str) -> float:
        """Sum up what actors of others wait for that asked before."""
        return sum(
            actor.required_resources.get(kind, 0.0)
            for actor in self._pending
            if actor.job_id.hex() != self._mine
        )

    def holders(self) -> tuple[str, ...]:
        """Name those that hold most CPUs or GPUs."""
        held: Counter[tuple[str, str]] = Counter()
        cpus: Counter[tuple[str, str]] = Counter()
        gpus: Counter[tuple[str, str]] = Counter()
        for actor in self._alive:
            needed = actor.required_resources
            if actor.job_id.hex() != self._mine and _holds_something(actor):
                key = (actor.class_name, actor.job_id.hex())
                held[key] += 1
                cpus[key] += needed.get("CPU", 0.0)
                gpus[key] += needed.get("GPU", 0.0)
        if not held:
            return ()
        drivers = _drivers()
        named = []
        for key, _ in sorted(held.items(), key=lambda item: -(cpus[item[0]] + gpus[item[0]])):
            kind, job = key
            amounts = [f"{cpus[key]:g} CPUs"] if cpus[key] else []
            amounts += [f"{gpus[key]:g} GPUs"] if gpus[key] else []
            count = f"{held[key]} × " if held[key] > 1 else ""
            named.append(f"{count}{kind} of {drivers.get(job, f'job {job}')} ({', '.join(amounts)})")
        more = len(named) - _MOST_HOLDERS
        return (*named[:_MOST_HOLDERS], *([f"{more} more"] if more > 0 else []))


def own_actors() -> frozenset[str]:
    """Give the ids of this job's actors that work, or are to."""
    with suppress(Exception):
        return frozenset(actor.actor_id.hex() for actor in _own_actors())
    return frozenset()


def crashing(*, restarts: int, but: Collection[str] = ()) -> dict[str, int]:
    """Name machines where Ray has started an actor of this job again so often, each with how often it has died.

    Those of an earlier pass, which go through `but`, were ready once and died of what they did.
    """
    found: dict[str, int] = {}
    with suppress(Exception):
        for actor in _own_actors():
            if actor.num_restarts >= restarts and actor.actor_id.hex() not in but:
                machine = actor.address.ip_address or "a machine of the cluster"
                found[machine] = max(found.get(machine, 0), int(actor.num_restarts) + 1)
    return found


def _own_actors() -> Iterator[Any]:
    mine = ray.get_runtime_context().get_job_id()
    for state in ("RESTARTING", "PENDING_CREATION", "ALIVE"):
        for actor in _actors(state):
            if actor.job_id.hex() == mine and _holds_something(actor):
                yield actor


def _holds_something(actor: Any) -> bool:
    needed = actor.required_resources
    return bool(needed.get("CPU") or needed.get("GPU"))


def living(actors: Collection[str]) -> int:
    """Count those of some actors, by their ids, that are alive; all of them where Ray does not tell."""
    with suppress(Exception):
        alive = {actor.actor_id.hex() for actor in _actors("ALIVE")}
        return len(alive.intersection(actors))
    return len(actors)


def _actors(state: str) -> list[Any]:
    """Give Ray's own records of actors; no public call tells what an actor holds."""
    accessor = ray._private.state.state._connect_and_get_accessor()
    records: Any = gcs_pb2
    return [records.ActorTableData.FromString(record) for record in accessor.get_actor_table(None, state)]


def _drivers() -> dict[str, str]:
    """Name each job by its command, for messages."""
    with suppress(Exception):
        return {
            job["JobID"]: f"job {job['JobID']}, pid {job['DriverPid']} on {job['DriverIPAddress']}"
            for job in ray._private.state.jobs()
        }
    return {}


@contextmanager
def _turn() -> Iterator[bool]:
    """Take the turn to plan, where others are on the cluster; a name in Ray that only one job at a time can have."""
    if not _is_shared():
        yield True
        return
    try:
        turn: Any = ray.remote(_Turn).options(name=_TURN, namespace=_NAMESPACE, num_cpus=0).remote()
    except ValueError:  # another job has it
        yield False
        return
    try:
        yield True
    finally:
        with suppress(Exception):  # Ray may be gone by now, and the name with it
            ray.kill(turn)


class _Turn:
    """Nothing but a name."""


def _is_shared() -> bool:
    with suppress(Exception):
        return sum(not job["IsDead"] for job in ray._private.state.jobs()) > 1
    return False
