"""Spans of long recordings come in any order; when all of one are there, a worker joins them."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import RayError

from uss_ray.api.publisher import Publisher, index_name
from uss_ray.errors import OutputError, RecordingError, UssRayError
from uss_ray.pipelines.archive.ledger import FAILED_PREFIX
from uss_ray.pipelines.archive.metrics import ArchiveMetrics
from uss_ray.pipelines.archive.outcome import Outcome, failed_outcome, separated_outcome
from uss_ray.pipelines.runtime.metrics import peak_memory_bytes
from uss_ray.pipelines.runtime.run_state import begin_telling, this_process
from uss_ray.records import Recording
from uss_ray.store.faults import is_infrastructure

_JOIN_CPUS = 0.5
_MOST_JOINS = 64  # in flight; more would only wait in Ray's queue
_CROWDED_SECONDS = 1.0


@dataclass
class _Long:
    done: set[int] = field(default_factory=set)
    parts: int | None = None


class LongRecordings:
    """Keeps count of the long recordings in flight, and has them joined.

    Attributes
    ----------
    workers : set of str
        Processes that have joined some.
    failed : set of int
        Keys of those that a span has failed of: nobody goes on with their spans, whenever these came.

    Parameters
    ----------
    publisher : Publisher
        Travels to the workers that join.
    state : actor handle
        Of `start_run_state`; told what those workers' store warns of.
    """

    def __init__(self, publisher: Publisher, *, state: Any) -> None:
        self._publisher = publisher
        self._state = state
        self._open: dict[int, _Long] = {}
        self._given_up: set[int] = set()
        self._joins: dict[Any, Recording] = {}
        self.workers: set[str] = set()
        self.failed: set[int] = set()
        self._join = ray.remote(_joined).options(num_cpus=_JOIN_CPUS, max_retries=2)

    def take(self, outcome: Outcome) -> Iterator[Outcome]:
        """Take what became of a unit; give what is thereby known of whole recordings."""
        key = outcome.recording_key
        if outcome.part is None:
            yield outcome
            return
        if key in self._given_up:
            return
        if outcome.status != "part":
            self._open.pop(key, None)
            self._given_up.add(key)  # other spans of it may still be on their way
            if outcome.status == "failed":
                self.failed.add(key)
            yield outcome
            return
        self.failed.discard(key)  # done again, in a later pass
        long = self._open.setdefault(key, _Long())
        long.done.add(outcome.part)
        long.parts = outcome.parts or long.parts
        if len(long.done) == long.parts:
            del self._open[key]
            join = self._join.remote(self._state, self._publisher, outcome.recording, long.parts)
            self._joins[join] = outcome.recording

    @property
    def is_joining(self) -> bool:
        """Whether recordings are still to be joined."""
        return bool(self._joins)

    def joined(self, *, seconds: float = 0.0) -> Iterator[Outcome]:
        """Give the recordings that have been joined; if none has, wait for one so long, or for a while if very many."""
        if not self._joins:
            return
        timeout = max(seconds, _CROWDED_SECONDS) if len(self._joins) > _MOST_JOINS else seconds
        waiting = list(self._joins)
        ready, _ = ray.wait(waiting, timeout=timeout)
        ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0) if ready else (ready, [])
        for join in ready:
            outcome = _told(join, self._joins.pop(join))
            if outcome.worker:
                self.workers.add(outcome.worker)
            yield outcome

    def abandon(self) -> Iterator[Outcome]:
        """Wait no more; the spans stay, and the next run joins them."""
        for join, recording in self._joins.items():
            ray.cancel(join)
            yield failed_outcome(
                recording, reason="stopped before its spans were joined", status="unfinished"
            )
        self._joins.clear()


def _told(join: Any, recording: Recording) -> Outcome:
    try:
        outcome: Outcome = ray.get(join)
    except RayError as error:  # its worker was killed each time; the spans stay, and the next run joins them
        reason = f"joining its spans: {type(error).__name__}"
        return failed_outcome(recording, reason=reason, status="unfinished")
    return outcome


def _joined(state: Any, publisher: Publisher, recording: Recording, parts: int) -> Outcome:
    """Join in a task of its own; what it takes, and waits for, is told and counted like any other work."""
    begin_telling(state)
    began = time.monotonic()
    outcome = _join(publisher, recording, parts)
    outcome = replace(
        outcome,
        join_seconds=time.monotonic() - began,
        worker=this_process(),
        peak_bytes=peak_memory_bytes(),
    )
    _metrics().count_joined(outcome)
    return outcome


@functools.cache
def _metrics() -> ArchiveMetrics:
    return ArchiveMetrics()  # once a process


def _join(publisher: Publisher, recording: Recording, parts: int) -> Outcome:
    try:
        return separated_outcome(recording, publisher.join(recording, parts=parts))
    except UssRayError as error:
        if isinstance(error, OutputError) or is_infrastructure(error):
            return failed_outcome(recording, reason=error.reason, status="unfinished")
        return _failed(publisher, recording, error)


def _failed(publisher: Publisher, recording: Recording, error: UssRayError) -> Outcome:
    try:
        row = publisher.failed(recording, reason=error.reason)
        publisher.commit_failed([row], name=FAILED_PREFIX + index_name(recording))
        if isinstance(error, RecordingError):
            publisher.forget_parts(recording)
    except OutputError as fault:
        return failed_outcome(recording, reason=fault.reason, status="unfinished")
    return failed_outcome(recording, reason=error.reason)
