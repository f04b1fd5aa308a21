"""What all workers of a run share: how much there is to do, and whether to begin anything more."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from uss_ray.pipelines.runtime.listed_keys import ListedKeys
from uss_ray.results.passed_over import PassedOver
from uss_ray.store.patience import hurry_if
from uss_ray.store.walk import Unlisted
from uss_ray.wording import log_plainly, plain

_ASK_SECONDS = 0.5
_EXAMPLES = 20
_BEAT_SECONDS = 4.0
_SILENT_SECONDS = 10.0  # more than two beats


@dataclass(frozen=True, kw_only=True)
class Look:
    """The state at a moment.

    Parameters
    ----------
    found : int
        Items that the listing has found so far.
    is_listed : bool
        Whether all readers have come to their end.
    workers : int
        Actors that have loaded what they need.
    busy : tuple of str
        Ids of those that are at a packet, or died at one.
    fault : Exception or None
        What made the whole run pointless.
    notes : tuple of str
        What workers have warned of since the last look, such as a store that is away.
    silent : tuple of (str, str, float)
        Ids of busy actors that have not been heard of for a while, where they are, and for how many seconds.
    """

    found: int
    is_listed: bool
    workers: int
    busy: tuple[str, ...]
    # An exception that has travelled equals no other, itself of a moment ago included.
    fault: Exception | None = field(compare=False)
    # No signs of life: a run that waits for a store stands still all the same.
    notes: tuple[str, ...] = field(default=(), compare=False)
    silent: tuple[tuple[str, str, float], ...] = field(default=(), compare=False)


@dataclass
class Named:
    """Items that somebody should hear of: how many, and a few names."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, names: Sequence[str]) -> None:
        """Count some more."""
        self.count += len(names)
        self.examples += names[: _EXAMPLES - len(self.examples)]

    def record(self) -> dict[str, Any]:
        """Give it for a summary."""
        return {"count": self.count, "examples": self.examples}


@dataclass
class Earlier:
    """What a listing finds that is not simply to be done.

    Attributes
    ----------
    skipped : int
        Items that an earlier run has done.
    failed : list of ndarray of int64
        Keys of those that failed in one, and are not tried again.
    changed : Named
        Of those that are known, the ones with another content now.
    duplicates : Named
        Items whose key another one has that was listed before.
    strangers : int
        Of these, those that lie elsewhere: another recording under the same name.
    """

    skipped: int = 0
    failed: list[NDArray[np.int64]] = field(default_factory=list)
    changed: Named = field(default_factory=Named)
    duplicates: Named = field(default_factory=Named)
    strangers: int = 0

    @property
    def failed_keys(self) -> NDArray[np.int64]:
        """Sorted keys of what failed before."""
        return np.unique(np.concatenate([np.zeros(0, np.int64), *self.failed]))

    def add(self, other: Earlier) -> None:
        """Add what another listing has found."""
        self.skipped += other.skipped
        self.failed += other.failed
        self.strangers += other.strangers
        for mine, its in ((self.changed, other.changed), (self.duplicates, other.duplicates)):
            mine.count += its.count
            mine.examples += its.examples[: _EXAMPLES - len(mine.examples)]


class RunState:
    """Counts what was found, and remembers that the run is to stop. Asked through the functions below."""

    def __init__(self) -> None:
        self._found = 0
        self._passed_over = PassedOver()
        self._earlier: dict[int, Earlier] = {}
        self._listed = ListedKeys()
        self._expected = 0
        self._ended: set[int] = set()
        self._workers: set[str] = set()
        self._busy: set[str] = set()
        self._stopping = False
        self._ending = False
        self._fault: Exception | None = None
        self._notes: dict[str, tuple[str, set[str]]] = {}
        self._heard: dict[str, tuple[str, float]] = {}

    def look(self) -> Look:
        """Tell everything at once; notes once only."""
        notes = tuple(
            f"{text} (told by {len(workers)} workers)" if len(workers) > 1 else text
            for text, workers in self._notes.values()
        )
        self._notes.clear()
        now = time.monotonic()
        heard = ((name, *self._heard[name]) for name in self._busy if name in self._heard)
        silent = tuple(
            (name, where, now - when) for name, where, when in heard if now - when > _SILENT_SECONDS
        )
        return Look(
            notes=notes,
            silent=silent,
            found=self._found,
            is_listed=len(self._ended) == self._expected,
            workers=len(self._workers),
            busy=tuple(self._busy),
            fault=self._fault,
        )

    def join(self, worker: str) -> None:
        """Note an actor that is ready; one that came back from a crash has no packet any more."""
        self._workers.add(worker)
        self._busy.discard(worker)

    def hear(self, worker: str, where: str) -> None:
        """Note that an actor lives."""
        self._heard[worker] = (where, time.monotonic())

    def note(self, kind: str, text: str, worker: str) -> None:
        """Keep what a worker warns of for the driver; of a kind the last counts, and who has said it."""
        _, workers = self._notes.get(kind, ("", set()))
        self._notes[kind] = (text, workers | {worker})

    def begin(self, worker: str) -> None:
        """Note that an actor is at a packet."""
        self._busy.add(worker)

    def end(self, worker: str) -> None:
        """Note that it is done with it."""
        self._busy.discard(worker)

    def add_found(self, count: int) -> None:
        """Count items that a listing has found."""
        self._found += count

    def add_passed_over(self, names: Sequence[str]) -> None:
        """Count files that a listing has passed over."""
        self._passed_over.add(names)

    def add_unlisted(self, entries: Sequence[Unlisted]) -> None:
        """Note what a listing could not list."""
        self._passed_over.add_unlisted(entries)

    def passed_over(self) -> PassedOver:
        """Tell what was passed over."""
        return self._passed_over

    def begin_earlier(self, reader: int) -> None:
        """Forget what a reader has told; one whose worker died begins anew."""
        self._earlier[reader] = Earlier()
        self._passed_over.forget_unlisted()  # of a folder, which has one reader
        self._listed.forget(reader)

    def add_earlier(self, reader: int, found: Earlier) -> None:
        """Note what a reader has found."""
        self._earlier[reader].add(found)

    def earlier(self) -> Earlier:
        """Tell what all readers have found."""
        total = Earlier()
        for _, found in sorted(self._earlier.items()):
            total.add(found)
        return total

    def list_keys(
        self, reader: int, keys: NDArray[np.int64], places: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Note items of a reader; see `ListedKeys.add`."""
        return self._listed.add(reader, keys, places)

    def expect_listings(self, count: int) -> None:
        """Say how many readers list what there is."""
        self._expected = count
        self._ended.clear()

    def end_listing(self, number: int) -> None:
        """Note that a reader has come to its end."""
        self._ended.add(number)

    def begin_no_more(self) -> None:
        """Let nothing more begin; what was done is brought into order in all the time that it takes."""
        self._stopping = True

    def stop(self) -> None:
        """Let nothing more begin, and the run end soon: somebody waits for that."""
        self._stopping = self._ending = True

    def give_up(self, fault: Exception) -> None:
        """Remember what makes the whole run pointless, and let nothing more begin.

        What comes after a stop is no reason of its own: then nothing gets done because nothing begins.
        """
        if not self._stopping:
            self._fault = fault
        self._stopping = self._ending = True

    def is_stopping(self) -> bool:
        """Tell whether nothing more may begin."""
        return self._stopping

    def is_ending(self) -> bool:
        """Tell whether the run is to end soon."""
        return self._ending


def start_run_state() -> Any:
    """Start the actor that holds the state; it takes no CPU, and ends with `end_run_state`."""
    return pinned(RunState).remote()


def end_run_state(state: Any) -> None:
    """End it, whoever has a handle: one in a cycle of references lasts until Python collects it."""
    with suppress(RayError):  # a Ray that is gone holds nothing
        ray.kill(state)


def pinned(kind: type) -> Any:
    """Make an actor class of a class whose memory the run lives by: it stays on the driver's machine, takes no CPU."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(kind).options(
        num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here
    )


def is_stopping(state: Any) -> bool:
    """Ask whether nothing more may begin."""
    return bool(ray.get(state.is_stopping.remote()))


def is_ending(state: Any) -> bool:
    """Ask whether the run is to end soon."""
    return bool(ray.get(state.is_ending.remote()))


class _ToDriver(logging.Handler):
    """Brings warnings of a worker's store to the driver; what is in the worker's log nobody reads in time."""

    def __init__(self, state: Any) -> None:
        super().__init__(logging.WARNING)
        self._state = state

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            self._state.note.remote(record.name, plain(record.getMessage()), this_process())


def begin_telling(state: Any) -> None:
    """Let what this worker's store warns of come to the driver, and be plain in its own log.

    Once the run is to stop, it waits for no store any more.
    """
    log_plainly()
    hurry_if(partial(is_stopping, state))
    store = logging.getLogger("uss_ray.store")
    for handler in list(store.handlers):
        if isinstance(handler, _ToDriver):
            store.removeHandler(handler)
    store.addHandler(_ToDriver(state))


def keep_telling(state: Any, worker: str) -> None:
    """Let the state hear from an actor now and then, as long as its process runs."""

    def beat() -> None:
        with suppress(Exception):  # the state is gone: so is the run
            while True:
                ray.get(state.hear.remote(worker, this_process()))
                time.sleep(_BEAT_SECONDS)

    threading.Thread(target=beat, name="beat", daemon=True).start()


def this_process() -> str:
    """Name this process for a message."""
    return f"process {os.getpid()} on {socket.gethostname()}"


class StopSign:
    """Tells a worker whether nothing more may begin; asks twice a second, for an answer costs a short recording's time.

    Parameters
    ----------
    state : actor handle
        Of `start_run_state`.
    """

    def __init__(self, state: Any) -> None:
        self._state = state
        self._stopping = False
        self._asks_again = 0.0

    def __bool__(self) -> bool:
        if not self._stopping and time.monotonic() >= self._asks_again:
            self._stopping = is_stopping(self._state)
            self._asks_again = time.monotonic() + _ASK_SECONDS
        return self._stopping
