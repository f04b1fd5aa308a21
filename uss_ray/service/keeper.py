"""Whoever begins, resumes and expires jobs: looks at the table, and at what became of the drivers."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal, Protocol

from uss_ray.errors import ConfigError, UssRayError
from uss_ray.service.jobs import REQUEST, STATUS, JobOrder, JobRow, JobTable, shown
from uss_ray.service.settings import ServiceSettings
from uss_ray.service.webhooks import Webhook, message_of, send
from uss_ray.store.store import Store

logger = logging.getLogger(__name__)

VARIABLE: Final = "USS_RAY_JOB"
"""Of the environment of a driver: its `JobOrder` as JSON."""

DRIVER: Final = (sys.executable, "-m", "uss_ray.jobs.run_job")
"""What a driver is; nothing of a client is in it."""

_TELLING = 4
_HEARD = range(200, 300)
_NOT_WANTED = 410

Life = Literal["alive", "ended", "unknown"]


class JobExecutor(Protocol):
    """Whatever runs drivers."""

    def start(self, order: JobOrder) -> None:
        """Start a driver; of two with the same name only one may come to be."""
        ...

    def life(self, name: str) -> Life:
        """Tell what became of a driver."""
        ...

    def missing(self) -> str | None:
        """Tell what keeps it from running anything."""
        ...

    def close(self) -> None:
        """End."""
        ...


class ProcessExecutor:
    """Drivers as processes of this machine. They end orderly with the service, and the next one resumes them.

    Parameters
    ----------
    command : sequence of str
    """

    def __init__(self, command: Sequence[str] = DRIVER) -> None:
        self._command = list(command)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, order: JobOrder) -> None:
        """See `JobExecutor`."""
        environment = {**os.environ, VARIABLE: order.canonical_json()}
        self._processes[order.name] = subprocess.Popen(
            self._command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def life(self, name: str) -> Life:
        """See `JobExecutor`."""
        process = self._processes.get(name)
        if process is None:
            return "unknown"
        return "alive" if process.poll() is None else "ended"

    def missing(self) -> str | None:
        """See `JobExecutor`."""
        return None

    def close(self) -> None:
        """Ask the drivers to finish what they have in hand, and wait for them."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            process.wait()


class Keeper:
    """Keeps the jobs of a store going. There may be several: an attempt is begun by one of them only.

    Parameters
    ----------
    store : Store
    settings : ServiceSettings
    executor : JobExecutor
    clock : callable, optional
        Gives seconds, for drivers that are silent.
    """

    def __init__(
        self,
        store: Store,
        settings: ServiceSettings,
        executor: JobExecutor,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table = JobTable(store)
        self._settings = settings
        self._executor = executor
        self._clock = clock
        self._over: dict[tuple[str, str], float] = {}
        self._unstarted: dict[str, JobOrder] = {}
        self._signs: dict[str, tuple[object, float]] = {}
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._telling: set[str] = set()  # tenants: each has its turn, however slow the others' receivers are
        self._threads = ThreadPoolExecutor(_TELLING, thread_name_prefix="webhook")

    @classmethod
    def of(cls, settings: ServiceSettings, executor: JobExecutor) -> Keeper:
        """Keep the jobs of a service.

        Raises
        ------
        ConfigError
            If it has no store.
        """
        store = settings.kept_at()
        if store is None:
            raise ConfigError("service store", expected="a place for jobs", found="none")
        return cls(store, settings, executor)

    def begin(self) -> None:
        """Look again and again, in a thread."""
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look soon."""
        self._wake.set()

    def missing(self) -> Mapping[str, str]:
        """Tell what keeps jobs from running, by the name of the part."""
        if self._thread is not None and not self._thread.is_alive():
            return {"keeper": "has ended"}
        found = self._executor.missing()
        if found is None and self._unstarted:
            found = "a driver could not be started; the log has why"
        return {} if found is None else {"jobs": found}

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._threads.shutdown(cancel_futures=True)
        self._executor.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.clear()
            try:
                self.look()
            except Exception:
                logger.exception("the table of jobs could not be looked at")
            self._wake.wait(self._settings.jobs.look_seconds)

    def look(self) -> None:
        """Begin what may, resume what lost its driver, end what is cancelled, tell of ends, forget what is over."""
        self._start_again()
        last = self.table.turn()
        waiting: list[JobRow] = []
        running: Counter[str] = Counter()
        for key, names in self.table.folders().items():
            if REQUEST not in names:
                self.table.clear(*key)  # whoever was forgetting it has died
                continue
            if STATUS in names and self._over.get(key, 0.0) > time.time():
                continue
            row = self.table.read(*key, names)
            if row is None:
                continue
            if row.ended is not None:
                if self._has_told(row):
                    self._expire(key, row)
            elif row.attempts and self._lives(row):
                running[row.request.tenant] += 1
            elif not (row.attempts or row.is_cancelled):
                waiting.append(row)
            elif (now := self._unchanged(row)) is None:
                continue
            elif now.is_cancelled:
                self.table.end(now, "cancelled", counts=now.counts)
            elif self._is_hopeless(now):
                trouble = now.progress.trouble if now.progress else None
                self.table.end(
                    now,
                    "failed",
                    reason=trouble or "its driver ended again and again, without progress",
                    counts=now.counts,
                )
            else:
                waiting.append(now)
        waiting.sort(key=lambda row: row.request.created_at)
        # As long as none can be started, none is begun: each would count as one that did nothing.
        while waiting and not self._unstarted and running.total() < self._settings.jobs.at_once:
            # Whoever took the last turn has died since, or is just about to begin that driver.
            left = next((row for row in waiting if row.next_driver == last.driver), None)
            row = left or min(waiting, key=lambda row: running[row.request.tenant])
            waiting.remove(row)
            if left is None:
                turn = self.table.take_turn(last, row)
                if turn is None:  # another keeper has begun one that was not counted here
                    self.wake()
                    return
                last = turn
            if self._start(row):
                running[row.request.tenant] += 1

    def _unchanged(self, row: JobRow) -> JobRow | None:
        """Read a job anew that nobody seems to drive; None if it ended meanwhile, or somebody else has gone on.

        What its driver did at last stands in the table before the driver is gone, and whoever begins one after its
        `cancel.json` begins one that does nothing: so what is read now is what there is to go by.
        """
        now = self.table.again(row)
        if now is None or now.ended is not None or len(now.attempts) != len(row.attempts):
            return None
        return now

    def _start(self, row: JobRow) -> bool:
        """Begin a driver; tell whether there is one now."""
        now = self._unchanged(row)
        if now is None or now.is_cancelled:
            return False  # the next look sees what became of it
        attempt = self.table.begin(now, finished=now.counts.finished)
        if attempt is None:
            return True  # somebody else has begun it
        order = JobOrder(
            store=str(self.table.store),
            storage=self._settings.storage,
            tenant=row.request.tenant,
            job_id=row.request.job_id,
            attempt=attempt,
            actors=self._settings.jobs.actors,
        )
        logger.info("job %s: driver %d", row.request.job_id, attempt)
        return self._has_started(order)

    def _start_again(self) -> None:
        """Start what could not be started before; a driver that has a later one by now does nothing."""
        for name, order in list(self._unstarted.items()):
            if self._executor.life(name) != "unknown" or self._has_started(order):
                self._unstarted.pop(name, None)
                self._signs.clear()  # that of others nothing was heard meant nothing

    def _has_started(self, order: JobOrder) -> bool:
        try:
            self._executor.start(order)
        except Exception:
            logger.exception("driver %s could not be started", order.name)
            self._unstarted[order.name] = order  # the next look tries again: its attempt is begun
            return False
        return True

    def _lives(self, row: JobRow) -> bool:
        name = row.driver
        life = self._executor.life(name)
        if life == "unknown" and name in self._unstarted:
            return not row.is_cancelled  # one that starts after all sees that, too
        if life != "unknown":
            self._signs.pop(name, None)
            return life == "alive"
        sign: object = (row.progress, len(row.attempts))
        before, since = self._signs.get(name, (None, 0.0))
        if before != sign:
            self._signs[name] = sign, self._clock()
            return True
        return self._clock() - since < self._settings.jobs.silent_seconds

    def _is_hopeless(self, row: JobRow) -> bool:
        most = self._settings.jobs.attempts
        last = row.attempts[-most:]
        return len(last) == most and all(finished == row.counts.finished for finished in last)

    def _has_told(self, row: JobRow) -> bool:
        """Tell whether nothing of its end is left to be told; what is due is sent, in a thread of its own."""
        if row.request.webhook is None or row.told is not None:
            return True
        settings, tenant = self._settings.webhooks, row.request.tenant
        if row.sent and time.time() < row.sent[-1] + settings.wait_seconds(len(row.sent)):
            return False
        if len(row.sent) >= settings.attempts:
            logger.warning("job %s: nobody has heard its webhook", row.request.job_id)
            self.table.end_telling(row, is_heard=False)
            return True
        with self._lock:
            has_room = tenant not in self._telling and len(self._telling) < _TELLING
            if has_room:
                self._telling.add(tenant)
        if has_room:
            self._threads.submit(self._tell, row)
        return False

    def _tell(self, row: JobRow) -> None:
        """Send a webhook once; who does is settled in the table, so that keepers do not send all of them twice."""
        job_id = row.request.job_id
        try:
            assert row.request.webhook is not None
            hook = Webhook(**row.request.webhook)
            if self.table.begin_to_tell(row):
                status = send(
                    hook, message_of(shown(row)), message_id=job_id, settings=self._settings.webhooks
                )
                logger.info("job %s: its webhook was answered with %d", job_id, status)
                if status in _HEARD or status == _NOT_WANTED:
                    self.table.end_telling(row, is_heard=status in _HEARD)
        except Exception as error:  # noqa: BLE001 - whatever is at the other end; it is sent again
            # Not what it says, for an address may hold a secret.
            logger.warning("job %s: its webhook could not be sent: %s", job_id, type(error).__name__)
        finally:
            with self._lock:
                self._telling.discard(row.request.tenant)

    def _expire(self, key: tuple[str, str], row: JobRow) -> None:
        assert row.ended is not None
        until = row.ended["ended_at"] + self._settings.limits.job_kept_seconds
        if until > time.time():
            self._over[key] = until
            return
        try:
            self.table.forget(row)
            self._over.pop(key, None)
        except UssRayError as error:
            logger.warning("job %s could not be forgotten: %s", row.request.job_id, error.reason)


class JobKeeping(Protocol):
    """The keeper as the HTTP face sees it: in this process, or on Ray."""

    async def begin(self) -> None:
        """Begin with the service."""
        ...

    async def wake(self) -> None:
        """Say that there is something to do."""
        ...

    async def missing(self) -> Mapping[str, str]:
        """Tell what keeps jobs from running."""
        ...

    async def close(self) -> None:
        """End with the service."""
        ...


class KeepingHere:
    """A keeper in this process.

    Parameters
    ----------
    keeper : Keeper
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def begin(self) -> None:
        """See `JobKeeping`."""
        self._keeper.begin()

    async def wake(self) -> None:
        """See `JobKeeping`."""
        self._keeper.wake()

    async def missing(self) -> Mapping[str, str]:
        """See `JobKeeping`."""
        return await asyncio.to_thread(self._keeper.missing)

    async def close(self) -> None:
        """See `JobKeeping`."""
        await asyncio.to_thread(self._keeper.close)
