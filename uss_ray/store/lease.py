"""One output root, one driver: a lease says who writes below it, and is renewed as long as it does.

Each holder has a file of its own, so none overwrites another's; who has written one looks whether there is another,
and yields if so. That is safe on disks and in object stores without conditional writes. A lease whose holder is dead
does not count: on the same machine its process is gone; on another it was not renewed while somebody watched it, for
clocks differ, and jump.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from uss_ray.config import canonical_json
from uss_ray.errors import OutputError
from uss_ray.parsing import read_json
from uss_ray.store.store import Store, sweep_half_written

logger = logging.getLogger(__name__)

LEASE_FOLDER = ".lease"
TURN_FOLDER = ".turn"

_RENEW_SECONDS = 20.0
_STALE_SECONDS = 180.0  # nine renewals, and clocks that differ by a minute or two
_WATCH_SECONDS = 50.0  # two renewals and a half
_TURN_SECONDS = 1.0
_QUIET_SECONDS = 8.0
_ATTEMPTS = 4  # where two start at the same moment, both may yield
_PATIENCE_SECONDS = 10.0  # for a store that is away; the end of a run waits for no more than that
_SUFFIX = ".json"

_held_here: set[str] = (
    set()
)  # by this process; another lease with its id is of a run that could not release it

Shard = tuple[int, int]
Sleep = Callable[[float], None]


class HeldError(OutputError):
    """Somebody else writes below an output root; `found` says who."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who writes below an output root.

    Parameters
    ----------
    token : str
        Of one run; names the file.
    job : str
        Such as `archive`.
    host : str
    machine : str
        Tells process ids apart that mean different processes: boot and process namespace.
    pid, process_started : int
        The second tells processes apart that had the same id one after the other.
    shard : (int, int) or None
        (i, n), the part of the job.
    taken_at, renewed_at : float
        Seconds since 1970.
    """

    token: str
    job: str
    host: str
    machine: str
    pid: int
    process_started: int
    shard: Shard | None
    taken_at: float
    renewed_at: float

    @classmethod
    def of_this_process(cls, *, job: str, shard: Shard | None) -> Lease:
        """Make a lease for a run of this process."""
        now = time.time()
        return cls(
            token=secrets.token_hex(8),
            job=job,
            host=socket.gethostname(),
            machine=_this_machine(),
            pid=os.getpid(),
            process_started=process_started(os.getpid()) or 0,
            shard=shard,
            taken_at=now,
            renewed_at=now,
        )

    def excludes(self, other: Lease) -> bool:
        """Tell whether both may not hold at a time: unless they are different shards of the same division."""
        if self.shard is None or other.shard is None:
            return True
        return self.shard[1] != other.shard[1] or self.shard[0] == other.shard[0]

    def is_alive(self, *, now: float, machine: str, started: Callable[[int], int | None]) -> bool | None:
        """Tell whether its holder still runs; None if only time will tell: it was renewed at quite another moment.

        Parameters
        ----------
        now : float
            Seconds since 1970.
        machine : str
            Where this is asked.
        started : callable
            Gives when a process of this machine started, or None for one that is gone.
        """
        if self.machine != machine:
            return None if abs(now - self.renewed_at) >= _STALE_SECONDS else True
        if self.pid == os.getpid() and self.token not in _held_here:
            return False
        return started(self.pid) == self.process_started

    def holder(self) -> str:
        """Say who holds it, for a message."""
        what = self.job if self.shard is None else f"{self.job}, shard {self.shard[0]}/{self.shard[1]}"
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.taken_at))
        return f"process {self.pid} on {self.host} ({what}), since {since}"


@contextmanager
def hold_lease(
    output: Store,
    *,
    job: str,
    shard: Shard | None = None,
    on_lost: Callable[[OutputError], None],
    sleep: Sleep | None = None,
) -> Iterator[Lease]:
    """Hold the lease of an output root, or of a shard of it, while the block runs.

    Parameters
    ----------
    output : Store
    job : str
        For messages to others.
    shard : (int, int) or None, default=None
        None excludes everybody else.
    on_lost : callable
        Told, in a thread of its own, that another run has taken the lease over.
    sleep : callable, optional
        Waits some seconds, as `time.sleep`; raises where nothing is to be waited for any more.

    Yields
    ------
    Lease

    Raises
    ------
    HeldError
        If somebody else holds it.
    OutputError
        If the output cannot be written.
    """
    place, sleep = _place(output, LEASE_FOLDER), sleep or time.sleep
    lease = _take(place, output=output, lease=Lease.of_this_process(job=job, shard=shard), sleep=sleep)
    with _kept(place, output, lease, on_lost):
        yield lease


@contextmanager
def take_turn(output: Store, *, job: str, shard: Shard | None, sleep: Sleep | None = None) -> Iterator[None]:
    """Be the only one of several shards that brings the output into order, while the block runs; waits for the others.

    Parameters
    ----------
    output : Store
    job : str
        For messages to others.
    shard : (int, int) or None
        None holds the lease of all, and need not wait.
    sleep : callable, optional
        As for `hold_lease`.

    Raises
    ------
    OutputError
        If the output cannot be written.
    """
    if shard is None:
        yield
        return
    place, began, told = _place(output, TURN_FOLDER), time.monotonic(), False
    sleep = sleep or time.sleep
    lease = Lease.of_this_process(job=job, shard=None)
    if not place.is_remote:
        sweep_half_written(place.local_path())
    while True:
        others = _others(place, lease, sleep=sleep)
        if not others and _is_taken(place, lease, sleep=sleep):
            break
        if others and not told and time.monotonic() - began >= _QUIET_SECONDS:
            told = True
            logger.warning(
                "waiting for another shard that brings the output into order: %s", others[0].holder()
            )
        sleep(random.uniform(0.1, _TURN_SECONDS))
    with _kept(place, output, lease, lambda _: None):
        yield


def _place(output: Store, folder: str) -> Store:
    options = output.options.replace(patience_seconds=_PATIENCE_SECONDS)
    return Store(output.root, options, OutputError) / folder


@contextmanager
def _kept(
    place: Store, output: Store, lease: Lease, on_lost: Callable[[OutputError], None]
) -> Iterator[None]:
    """Renew a lease while the block runs."""
    ended = threading.Event()
    renewing = threading.Thread(
        target=_renew, args=(place, output, lease, ended, on_lost), name="lease", daemon=True
    )
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()  # or it might write the lease once more after it is gone
        _release(place, lease)


def read_leases(place: Store) -> list[Lease]:
    """Read the leases that lie in a folder; those that are no lease, or vanish meanwhile, are passed over."""
    while place.exists():
        try:
            files = list(place.list())
            break
        except OutputError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            # Its last holder has let go of it; perhaps there is another by now.
    else:
        return []
    found = []
    for file in files:
        if not file.name.endswith(_SUFFIX):
            continue
        with suppress(OutputError, ValueError, TypeError, KeyError):
            values = read_json(file.read())
            known = {field.name: values[field.name] for field in fields(Lease)}  # a later version has more
            shard = known["shard"]
            found.append(Lease(**{**known, "shard": None if shard is None else (shard[0], shard[1])}))
    return found


def holders_of(output: Store) -> list[Lease]:
    """Give the leases of an output whose holders run, as far as one look tells; nothing is changed."""
    machine = _this_machine()
    return [
        lease
        for lease in read_leases(output.raising(OutputError) / LEASE_FOLDER)
        if lease.is_alive(now=time.time(), machine=machine, started=process_started)
    ]


def process_started(pid: int) -> int | None:
    """Tell when a process of this machine started, in clock ticks since boot; None if it is gone, or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def _take(place: Store, *, output: Store, lease: Lease, sleep: Sleep) -> Lease:
    if not place.is_remote:
        for folder in (output.local_path(), place.local_path()):
            sweep_half_written(folder)
    for attempt in range(_ATTEMPTS):
        _refuse_if_held(place, output=output, lease=lease, sleep=sleep)
        if _is_taken(place, lease, sleep=sleep):
            return lease
        sleep(random.uniform(0.1, 0.5) * (attempt + 1))
    _refuse_if_held(place, output=output, lease=lease, sleep=sleep)
    raise HeldError(str(output), expected="an output that no other run writes to", found="several that start")


def _is_taken(place: Store, lease: Lease, *, sleep: Sleep) -> bool:
    """Write a lease, and let go of it again if there is another by then."""
    _held_here.add(lease.token)
    _write(place, lease)
    try:
        others = _others(place, lease, sleep=sleep)
    except BaseException:
        _release(place, lease)
        raise
    if not others:
        return True
    # Two have come at the same moment: neither may go on, for the other may have looked before it wrote.
    _release(place, lease)
    return False


def _refuse_if_held(place: Store, *, output: Store, lease: Lease, sleep: Sleep) -> None:
    others = _others(place, lease, sleep=sleep)
    if others:
        raise HeldError(
            str(output),
            expected="an output that no other run writes to, but for other shards of the same",
            found=f"one that is held by {others[0].holder()}",
        )


def _others(place: Store, lease: Lease, *, sleep: Sleep) -> list[Lease]:
    """Give the live leases that exclude one; removes those of the dead."""
    alive: list[Lease] = []
    unsure: list[Lease] = []
    for other in read_leases(place):
        if other.token == lease.token or not lease.excludes(other):
            continue
        lives = other.is_alive(now=time.time(), machine=lease.machine, started=process_started)
        if lives is False:
            _take_over(place, other)
        else:
            (alive if lives else unsure).append(other)
    if unsure and not alive:
        logger.warning(
            "watching for %.0f s whether who held the output still runs: %s",
            _WATCH_SECONDS,
            unsure[0].holder(),
        )
        sleep(_WATCH_SECONDS)
        renewed = {found.token: found.renewed_at for found in read_leases(place)}
        for other in unsure:
            if renewed.get(other.token, other.renewed_at) != other.renewed_at:
                alive.append(other)
            else:
                _take_over(place, other)
    return sorted(alive, key=lambda other: other.taken_at)


def _take_over(place: Store, other: Lease) -> None:
    logger.info("taking over from %s", other.holder())
    _file(place, other).remove()


def _renew(
    place: Store,
    output: Store,
    lease: Lease,
    ended: threading.Event,
    on_lost: Callable[[OutputError], None],
) -> None:
    while not ended.wait(_RENEW_SECONDS):
        try:
            if not _file(place, lease).exists() or _has_successor(place, lease):
                on_lost(
                    OutputError(
                        str(output),
                        expected="a lease that stays with this run",
                        found="one that another run has taken over, as this one did not renew it in time",
                    )
                )
                return
            if not ended.is_set():
                _write(place, replace(lease, renewed_at=time.time()))
        except OutputError as error:  # the run itself tells what is wrong with the store
            logger.info("the lease could not be renewed: %s", error)


def _has_successor(place: Store, lease: Lease) -> bool:
    """Tell whether a later run holds what this one does: it took over while a renewal brought this lease back.

    Who only tries has renewed nothing.
    """
    return any(
        other.excludes(lease) and other.taken_at > lease.taken_at and other.renewed_at > other.taken_at
        for other in read_leases(place)
        if other.token != lease.token
    )


def _write(place: Store, lease: Lease) -> None:
    _file(place, lease).put(canonical_json(asdict(lease)).encode())


def _release(place: Store, lease: Lease) -> None:
    _held_here.discard(lease.token)
    with suppress(OutputError):  # what stays because the store is away is not renewed any more
        _file(place, lease).remove()
    if not place.is_remote:
        with suppress(OSError):  # others' are in it
            place.local_path().rmdir()


def _file(place: Store, lease: Lease) -> Store:
    return place / f"{lease.token}{_SUFFIX}"


def _this_machine() -> str:
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
