"""How far a run is, and what it says when nothing happens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from uss_ray.pipelines.runtime.cluster import living
from uss_ray.pipelines.runtime.pool import DECODE_CPUS, LISTING_CPUS, Resources, Shortage, WorkerPool
from uss_ray.pipelines.runtime.run_state import Look

_QUIET_SECONDS = 8.0  # without a sign of life, before the cluster is asked for the reason
_LONG_SECONDS = 12.0  # before a run that lacks nothing says that it waits
_REPEAT_SECONDS = 30.0
_AGAIN_SECONDS = 15.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is.

    Parameters
    ----------
    finished, failed : int
        Items of this run.
    found : int
        Those that the listing has found to do so far.
    audio_seconds : float
        Length of those that are done.
    seconds : float, default=0.0
        Since the first worker was ready; what a rate is to be reckoned by.
    """

    finished: int
    failed: int
    found: int
    audio_seconds: float
    seconds: float = 0.0


ProgressHook = Callable[[Progress], None]


class Standstill:
    """Notices that a run stands still, and says what it lacks.

    Parameters
    ----------
    pool : WorkerPool
    clock : callable, optional
        Gives seconds.
    """

    def __init__(self, pool: WorkerPool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._last_sign = self._last_line = clock()
        self._has_spoken = False

    def note_sign(self) -> None:
        """Note that something has happened."""
        self._last_sign = self._clock()
        self._has_spoken = False

    @property
    def seconds(self) -> float:
        """Time without a sign of life."""
        return self._clock() - self._last_sign

    def line(self, *, workers: int, busy: int, resources: Callable[[], Resources]) -> str | None:
        """Say what a run that stands still waits for.

        Parameters
        ----------
        workers, busy : int
            Actors that are ready, and those of them at work: while one is, nothing stands still.
        resources : callable
            Asks the cluster; only called when it is time.

        Returns
        -------
        str or None
            None as long as there is nothing (new) to say.
        """
        if busy or self.seconds < _QUIET_SECONDS:
            return None
        if self._has_spoken and self._clock() - self._last_line < _REPEAT_SECONDS:
            return None
        there = resources()
        gpus, needed = self._pool.gpus_per_actor, DECODE_CPUS + LISTING_CPUS
        reason = None
        is_shared = bool(there.holders)  # what is not free may be our own
        if is_shared and not workers and gpus and there.free_gpus < gpus:
            reason = str(Shortage(gpus, round(there.free_gpus, 2), there.gpus, "GPUs", there.holders))
        else:
            needed += 0.0 if workers else self._pool.cpus_per_actor
            if is_shared and there.free_cpus < needed:
                free = round(there.free_cpus, 2)
                reason = str(Shortage(round(needed, 2), free, there.cpus, "CPUs", there.holders))
            elif self.seconds >= _LONG_SECONDS:
                what = "a store, or the listing" if workers else "workers that load"
                since = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() - self.seconds))
                reason = f"waiting for {what} since {since}: nothing for {self.seconds:.0f} s"
        if reason is not None:
            self._last_line, self._has_spoken = self._clock(), True
        return reason


class Warnings:
    """Passes on what workers warn of, and who of them has gone silent; each kind now and then only.

    Parameters
    ----------
    clock : callable, optional
        Gives seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._deaths: dict[str, int] = {}

    def say(self, look: Look) -> None:
        """Log what a look has brought."""
        for note in look.notes:
            self._say(note.partition(" since ")[0], note)
        silent = [each for each in look.silent if living([each[0]])]
        if silent:
            _, where, seconds = max(silent, key=lambda each: each[2])
            since = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() - seconds))
            others = f", and {len(silent) - 1} more," if len(silent) > 1 else ""
            line = f"{where}{others} does not answer since {since}: stopped, or its machine is away"
            self._say("silent", f"{line}; without any progress the pass ends after half an hour")

    def say_who_crashes(self, machines: Mapping[str, int]) -> None:
        """Log where workers died again and again although others work; of a machine when it has become twice as often.

        Parameters
        ----------
        machines : mapping of str to int
            How often a worker has died there.
        """
        for machine, deaths in machines.items():
            if deaths >= 2 * self._deaths.get(machine, 0):
                self._deaths[machine] = deaths
                logger.warning(
                    "a worker on %s has died %d times, while others work: recordings that kill it, too little memory,"
                    " or a library that crashes (the logs of Ray on that machine have its last words)",
                    machine,
                    deaths,
                )

    def _say(self, kind: str, line: str) -> None:
        if self._clock() - self._last.get(kind, float("-inf")) >= _AGAIN_SECONDS:
            self._last[kind] = self._clock()
            logger.warning("%s", line)
