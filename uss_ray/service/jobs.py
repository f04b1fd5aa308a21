"""The table of jobs: a folder a job in the store, small JSON objects in it; what it says is true.

::

    STORE/jobs/<tenant>/<id>/request.json        what is asked; never changes
                             input.parquet       the rows of a manifest, checked; never changes
                             attempt-0001.json   that a driver was begun; who creates it, begins it
                             progress.json       how far that driver is, again and again: its sign of life
                             cancel.json         that it shall end
                             status.json         how it ended; never changes
                             webhook-0001.json   that its webhook was sent, or will be at once, by who creates it
                             webhook.json        that nothing more is sent, and whether it was heard; never changes
    STORE/job-turns/00000001.json                which driver is begun next: of two keepers that saw the same, one is
    STORE/job-results/<tenant>/<id>/...          its results, where the request names no other place

All but the progress are created once, by whoever is first: so no two keepers begin one attempt, and no two ends differ.
What a listing says may be over when it is acted on; whoever acts reads again first, by `again` (ADR 85). A folder
without a request is what is left of a job that is being forgotten.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from typing import Any, Literal, NamedTuple

from uss_ray.api.owned import anything, remove_folder
from uss_ray.config import Settings, canonical_json
from uss_ray.errors import OutputError, UssRayError
from uss_ray.parsing import read_json
from uss_ray.service.problems import Refusal
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store, sweep_half_written

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]

JOBS, RESULTS, TURNS = "jobs", "job-results", "job-turns"
REQUEST, PROGRESS, CANCEL, STATUS = "request.json", "progress.json", "cancel.json", "status.json"
WEBHOOK, MANIFEST = "webhook.json", "input.parquet"
_ID = re.compile("[0-9a-f]{32}")
_ATTEMPT = re.compile(r"attempt-(\d{4})\.json")
_TURN = re.compile(r"\d{8}\.json")
_SENDING = re.compile(r"webhook-(\d{4})\.json")
_TRIES = 5
_TURNS_KEPT = 100  # more than come while a keeper looks
_READ_AT_ONCE = 16  # of a store that is far away
_NAMESPACE = uuid.UUID("0b7c7a86-6a4b-4a39-9c1f-6d6f0f6f1a0b")


class JobOrder(Settings):
    """Which job a driver drives: all that it is handed; everything else stands in the table."""

    store: str
    storage: StoreOptions = StoreOptions()
    tenant: str
    job_id: str
    attempt: int
    actors: int | None = None
    address: str | None = None

    @property
    def name(self) -> str:
        """Name of the driver."""
        return driver_name(self.job_id, self.attempt)


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What a job is asked.

    Attributes
    ----------
    job_id, tenant : str
    created_at : float
        Seconds since 1970.
    digest : str
        Of what the client said.
    input, output : str
    sounds : mapping
        Fields of a `SoundRequest`.
    prefixes : tuple of str
        Below these its recordings may lie.
    closed : tuple of str
        In these they may not, but below a prefix that lies there itself.
    webhook : mapping or None
        Fields of a `Webhook`.
    """

    job_id: str
    tenant: str
    created_at: float
    digest: str
    input: str
    output: str
    sounds: Mapping[str, Any]
    prefixes: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    webhook: Mapping[str, str] | None = None

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> JobRequest:
        """Make it of what JSON has of it."""
        places = {name: tuple(said.get(name, ())) for name in ("prefixes", "closed")}
        return cls(**_known({**said, **places}, cls))

    def to_json(self) -> str:
        """Give what `of` takes."""
        said = asdict(self)
        if self.webhook is None:
            del said["webhook"]  # which a service of before does not know
        return canonical_json(said)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How much of a job is done.

    Attributes
    ----------
    found, finished, failed : int
        Recordings.
    audio_seconds : float
        Of sound that is done.
    """

    found: int = 0
    finished: int = 0
    failed: int = 0
    audio_seconds: float = 0.0

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Counts:
        """Take the counts out of what says more."""
        return cls(**{name: said[name] for name in Counts.__dataclass_fields__ if name in said})


@dataclass(frozen=True, kw_only=True)
class JobProgress(Counts):
    """How far a driver is.

    Attributes
    ----------
    attempt : int
    seconds : float
        Of work, of earlier drivers too.
    beat : int
        Goes up as long as the driver lives.
    trouble : str or None
        Why the driver ended, where another one may do better.
    """

    attempt: int
    seconds: float = 0.0
    beat: int = 0
    trouble: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """A job as the table has it.

    Attributes
    ----------
    request : JobRequest
    attempts : tuple of int
        `finished` when each driver was begun.
    progress : JobProgress or None
    is_cancelled : bool
        Whether it shall end, or has ended so.
    ended : mapping or None
        What `status.json` says.
    sent : tuple of float
        When its webhook was sent, in seconds since 1970.
    told : mapping or None
        What `webhook.json` says.
    """

    request: JobRequest
    attempts: tuple[int, ...] = ()
    progress: JobProgress | None = None
    is_cancelled: bool = False
    ended: Mapping[str, Any] | None = None
    sent: tuple[float, ...] = ()
    told: Mapping[str, Any] | None = None

    @property
    def state(self) -> State:
        """Where it stands."""
        if self.ended is not None:
            state: State = self.ended["status"]
            return state
        return "running" if self.attempts else "queued"

    @property
    def counts(self) -> Counts:
        """What is known of how far it is."""
        return Counts.of(self.ended if self.ended is not None else vars(self.progress or Counts()))

    @property
    def driver(self) -> str:
        """Name of its last driver."""
        return driver_name(self.request.job_id, len(self.attempts))

    @property
    def next_driver(self) -> str:
        """Name of the one after it."""
        return driver_name(self.request.job_id, len(self.attempts) + 1)


class Turn(NamedTuple):
    """Whose turn it was to begin a driver.

    Attributes
    ----------
    number : int
        How many there were.
    driver : str or None
        Its name.
    """

    number: int
    driver: str | None


class JobTable:
    """The jobs of a store.

    Parameters
    ----------
    store : Store
        Root of what the service keeps.
    """

    def __init__(self, store: Store) -> None:
        self.store = store.absolute()
        self._root = self.store / JOBS

    def new_id(self, tenant: str, key: str | None) -> str:
        """Name a job: the same key of a tenant names the same one."""
        return (uuid.uuid4() if key is None else uuid.uuid5(_NAMESPACE, f"{tenant}\n{key}")).hex

    def results(self, tenant: str, job_id: str) -> Store:
        """Tell where results lie that go to no other place."""
        return self.store / RESULTS / tenant / job_id

    def keeps_results(self, row: JobRow) -> bool:
        """Tell whether its results lie with the service."""
        return row.request.output == str(self.results(row.request.tenant, row.request.job_id))

    def add(self, request: JobRequest) -> JobRow:
        """Add a job; one that is there already and asks the same is given.

        Raises
        ------
        Refusal
            If that one asks something else, or is being forgotten.
        """
        folder = self._folder(request.tenant, request.job_id)
        for _ in range(_TRIES):
            names = self._names_in(folder)
            if REQUEST in names:
                found = self.read(request.tenant, request.job_id, names)
                if found is not None:
                    return _same(found, request)
            elif names:
                break
            elif (folder / REQUEST).create(request.to_json().encode()):
                return JobRow(request=request)
        raise Refusal(
            "idempotency-key",
            expected="one that is free, or whose job is kept",
            found="that of a job which is just being forgotten",
            status=503,
            retry_after=10.0,
        )

    def find(self, tenant: str, job_id: str) -> JobRow:
        """Give a job.

        Raises
        ------
        Refusal
            If there is none of that id, or it is another tenant's.
        """
        if _ID.fullmatch(job_id) is None:
            raise _no_job(job_id)
        row = self.read(tenant, job_id, self._names_in(self._folder(tenant, job_id)))
        if row is None:
            raise _no_job(job_id)
        return row

    def again(self, row: JobRow) -> JobRow | None:
        """Read a job anew, for what was read of it may be over; None if it is gone."""
        request = row.request
        return self.read(request.tenant, request.job_id, self.objects(row))

    def names(self, tenant: str | None = None) -> dict[tuple[str, str], set[str]]:
        """List which objects each job has, in the order of the ids."""
        return {key: names for key, names in self.folders(tenant).items() if REQUEST in names}

    def folders(self, tenant: str | None = None) -> dict[tuple[str, str], set[str]]:
        """List which objects each folder has, also those without a request; see `clear`."""
        root = self._root if tenant is None else self._root / tenant
        found: dict[tuple[str, str], set[str]] = {}
        try:
            if not root.exists():
                return found
            for place in root.list():
                parts = place.relative_to(self._root).split("/")
                if len(parts) == 3 and _ID.fullmatch(parts[1]):
                    found.setdefault((parts[0], parts[1]), set()).add(parts[2])
        except UssRayError:
            if not root.is_gone():
                raise
        return dict(sorted(found.items()))

    def read(self, tenant: str, job_id: str, names: set[str]) -> JobRow | None:
        """Read a job whose objects were listed; None if it is gone, or going: one of those that never change is."""
        folder = self._folder(tenant, job_id)
        said = self._read(folder / REQUEST) if REQUEST in names else None
        if said is None:
            return None
        progress = self._read(folder / PROGRESS) if PROGRESS in names else None
        begun, sent = (
            [self._read(folder / name) for name in sorted(names) if kind.fullmatch(name)]
            for kind in (_ATTEMPT, _SENDING)
        )
        ended, told = (self._read(folder / name) if name in names else None for name in (STATUS, WEBHOOK))
        if None in (*begun, *sent) or (STATUS in names and ended is None):
            return None
        return JobRow(
            request=JobRequest.of(said),
            attempts=tuple(found.get("finished", 0) for found in begun if found is not None),
            progress=None if progress is None else JobProgress(**_known(progress, JobProgress)),
            is_cancelled=CANCEL in names,
            ended=ended,
            sent=tuple(found.get("at", 0.0) for found in sent if found is not None),
            told=told,
        )

    def rows(
        self, tenant: str, *, after: str = "", state: State | None = None
    ) -> Generator[tuple[str, JobRow | None], None, None]:
        """Read the jobs of a tenant in the order of their ids, as they are asked for.

        Parameters
        ----------
        tenant : str
        after : str, default=""
            Only those whose id comes after this one; what lies before it is not read.
        state : str, optional
            Of which state they are to be.

        Yields
        ------
        job_id : str
        row : JobRow or None
            None where it stands otherwise, or is gone.
        """
        ahead: deque[tuple[str, Future[JobRow | None] | None]] = deque()
        with ThreadPoolExecutor(_READ_AT_ONCE, thread_name_prefix="jobs") as pool:
            for job_id, names in self._names_after(tenant, after):
                may_be = REQUEST in names and state in (None, *_states_by(names))
                ahead.append((job_id, pool.submit(self.read, tenant, job_id, names) if may_be else None))
                if len(ahead) > _READ_AT_ONCE:
                    yield _read_row(ahead.popleft(), state)
            while ahead:
                yield _read_row(ahead.popleft(), state)

    def _names_after(self, tenant: str, after: str) -> Iterator[tuple[str, set[str]]]:
        """List which objects each job of a tenant has, as the store lists them."""
        root = self._root / tenant
        try:
            places = root.files(after=f"{after}0" if after else "")  # all in its folder comes before that
            split = (found.place.relative_to(root).split("/") for found in places)
            for job_id, parts in groupby(split, key=lambda parts: parts[0]):
                if _ID.fullmatch(job_id):
                    yield job_id, {part[1] for part in parts if len(part) == 2}
        except UssRayError:
            if not root.is_gone():
                raise

    def unfinished_inputs(self, tenant: str) -> Iterator[str | None]:
        """Tell what the jobs of a tenant read that are not over; None of one that reads rows of a manifest, or may."""
        for (_, job_id), names in self.names(tenant).items():
            row = None if STATUS in names else self.read(tenant, job_id, names)
            if row is not None:
                # Whether its input is a manifest, its name need not tell: the first driver finds out.
                is_looked_at = MANIFEST not in names and row.counts.found > 0
                yield row.request.input if is_looked_at else None

    def turn(self) -> Turn:
        """Tell which driver was to begin last; asked before the table is looked at."""
        numbers = sorted(self._turn_numbers())
        said = self._read(self._turn(numbers[-1])) if numbers else None
        return Turn(numbers[-1] if numbers else 0, None if said is None else said["driver"])

    def take_turn(self, last: Turn, row: JobRow) -> Turn | None:
        """Take the turn to begin the next driver of a job; None if another has begun since `last` was asked for."""
        turn = Turn(last.number + 1, row.next_driver)
        if not self._turn(turn.number).create(_marked(driver=turn.driver)):
            return None
        numbers = self._turn_numbers()
        if max(numbers) != turn.number:  # `last` is so old that what came after it has gone
            self._turn(turn.number).remove()
            return None
        for number in numbers:
            if number <= turn.number - _TURNS_KEPT:
                self._turn(number).remove()
        return turn

    def _turn(self, number: int) -> Store:
        return self.store / TURNS / f"{number:08d}.json"

    def _turn_numbers(self) -> set[int]:
        names = self._names_in(self.store / TURNS)
        return {int(name[:8]) for name in names if _TURN.fullmatch(name)}

    def begin(self, row: JobRow, *, finished: float) -> int | None:
        """Begin the next attempt; None if somebody else did."""
        attempt = len(row.attempts) + 1
        made = self.folder_of(row) / f"attempt-{attempt:04d}.json"
        return attempt if made.create(_marked(finished=finished)) else None

    def note(self, row: JobRow, progress: JobProgress) -> None:
        """Write how far its driver is."""
        (self.folder_of(row) / PROGRESS).put(_json(asdict(progress)))

    def objects(self, row: JobRow) -> set[str]:
        """List which objects it has by now."""
        return self._names_in(self.folder_of(row))

    def cancel(self, row: JobRow) -> bool:
        """Ask it to end; False if that was asked before."""
        return (self.folder_of(row) / CANCEL).create(_marked())

    def end(self, row: JobRow, state: State, *, counts: Counts, reason: str | None = None) -> bool:
        """Say how it ended; False if it had ended before."""
        said = {"status": state, "ended_at": time.time(), "reason": reason, **asdict(counts)}
        return (self.folder_of(row) / STATUS).create(_json(said))

    def begin_to_tell(self, row: JobRow) -> bool:
        """Note that its webhook is sent now, once more; False if somebody else does, or it was heard since."""
        if (self.folder_of(row) / WEBHOOK).exists():  # `row` may be older than that
            return False
        return (self.folder_of(row) / f"webhook-{len(row.sent) + 1:04d}.json").create(_marked())

    def end_telling(self, row: JobRow, *, is_heard: bool) -> None:
        """Note that its webhook is not sent any more."""
        (self.folder_of(row) / WEBHOOK).create(_marked(is_heard=is_heard))

    def forget_results(self, row: JobRow) -> None:
        """Remove the results that lie with the service."""
        remove_folder(self.store, f"{RESULTS}/{row.request.tenant}/{row.request.job_id}", is_own=anything)

    def forget(self, row: JobRow) -> None:
        """Remove a job, and what of it lies with the service; one that was added since with the same id stays."""
        if self.again(row) != row:
            return
        self.forget_results(row)
        (self.folder_of(row) / REQUEST).remove()
        self.clear(row.request.tenant, row.request.job_id)

    def clear(self, tenant: str, job_id: str) -> None:
        """Remove what is left in the folder of a job that has no request any more."""
        folder = self._folder(tenant, job_id)
        names = self._names_in(folder)
        if REQUEST in names:
            return
        for name in names:  # and no others: as soon as there are none, a job may be added here
            (folder / name).remove()
        if not folder.is_remote:
            sweep_half_written(folder.local_path())
            with suppress(OSError):
                folder.local_path().rmdir()

    def folder_of(self, row: JobRow) -> Store:
        """Tell where the objects of a job lie."""
        return self._folder(row.request.tenant, row.request.job_id)

    def _folder(self, tenant: str, job_id: str) -> Store:
        return self._root / tenant / job_id

    def _names_in(self, folder: Store) -> set[str]:
        for left in reversed(range(_TRIES)):
            try:
                return {place.name for place in folder.list()}
            except UssRayError as error:
                if folder.is_gone():
                    break
                if not left or not isinstance(error.__cause__, FileNotFoundError):
                    raise  # or else it has come just now
        return set()

    def _read(self, place: Store) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = read_json(place.read())
        except UssRayError:
            if place.is_gone():
                return None
            raise
        except ValueError as error:
            raise OutputError(str(place), expected="JSON", found=str(error)) from error
        return found


def driver_name(job_id: str, attempt: int) -> str:
    """Name a driver; the same for whoever begins this attempt."""
    return f"{job_id}-{attempt}"


def digest_of(said: Mapping[str, Any]) -> str:
    """Tell requests apart by what they say."""
    return hashlib.sha256(canonical_json(said).encode()).hexdigest()


def attempts_among(names: set[str]) -> int:
    """Count the attempts among the objects of a job."""
    return sum(_ATTEMPT.fullmatch(name) is not None for name in names)


def _states_by(names: set[str]) -> tuple[State, ...]:
    """Tell what a job with these objects may be."""
    if STATUS in names:
        return ("succeeded", "failed", "cancelled")
    return ("running",) if attempts_among(names) else ("queued",)


def _read_row(
    asked: tuple[str, Future[JobRow | None] | None], state: State | None
) -> tuple[str, JobRow | None]:
    job_id, found = asked
    row = None if found is None else found.result()
    return job_id, row if row is not None and state in (None, row.state) else None


def shown(row: JobRow) -> dict[str, Any]:
    """Say of a job what its tenant may know."""
    request, counts = row.request, row.counts
    own = f"/v1/jobs/{request.job_id}"
    done, progress = counts.finished + counts.failed, row.progress
    left = None
    if row.state == "running" and progress is not None and done and progress.seconds:
        left = round((counts.found - done) * progress.seconds / done, 1)
    hook = None
    if request.webhook is not None:
        hook = {"sent": len(row.sent), "is_heard": row.told["is_heard"] if row.told else None}
    return {
        "id": request.job_id,
        "status": row.state,
        "is_cancelled": row.is_cancelled,
        "created_at": request.created_at,
        "ended_at": row.ended["ended_at"] if row.ended else None,
        "reason": row.ended["reason"] if row.ended else None,
        **asdict(counts),
        "seconds_left": left,
        "drivers": len(row.attempts),
        "webhook": hook,
        "input": {"uri": request.input},
        "output": {"uri": request.output},
        "links": {
            "self": own,
            "events": f"{own}/events",
            "recordings": f"{own}/recordings",
            "failures": f"{own}/failures",
        },
    }


def _known(said: Mapping[str, Any], kind: type[JobRequest | JobProgress]) -> dict[str, Any]:
    """Leave out what a later version has written besides."""
    return {field.name: said[field.name] for field in fields(kind) if field.name in said}


def _marked(**said: Any) -> bytes:
    """Write something with a mark of its own, so that nobody takes another's for what it has written itself."""
    return _json({**said, "at": time.time(), "mark": uuid.uuid4().hex})


def _json(value: Mapping[str, Any]) -> bytes:
    return canonical_json(value).encode()


def _same(found: JobRow, request: JobRequest) -> JobRow:
    if found.request.digest != request.digest:
        raise Refusal(
            "idempotency-key", expected="the request that it came with first", found="another", status=422
        )
    return found


def _no_job(job_id: str) -> Refusal:
    return Refusal(f"job {job_id[:80]}", expected="a job of this token", found="none", status=404)
