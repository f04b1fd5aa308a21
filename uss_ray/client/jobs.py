"""Jobs of a service: whole archives, separated while nobody waits."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from uss_ray.client.errors import understood
from uss_ray.client.results import Job, Row

Ask = Callable[..., dict[str, Any]]

_LOOK_SECONDS = 2.0


class Jobs:
    """The jobs of a client; see `Client.jobs`.

    Parameters
    ----------
    ask : callable
        Sends a request, again while the service is busy, and gives its answer.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def submit(
        self,
        source: str,
        *,
        output: str | None = None,
        query: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        write: Mapping[str, Any] | None = None,
        key: str | None = None,
        webhook: Mapping[str, str] | None = None,
    ) -> Job:
        """Have a recording, folder, prefix or manifest separated.

        Parameters
        ----------
        source : str
            Its place, below a prefix of the token.
        output : str, optional
            Where the results go; without one the service keeps them.
        query, settings, write : mapping, optional
            What is wanted, by the fields of a request.
        key : str, optional
            The same key is the same job, however often it is submitted; without one each call is another job.
        webhook : mapping, optional
            `url`, which is told once the job has ended, and `secret`, which signs that.

        Raises
        ------
        ServiceError
            If the service refuses it.
        """
        said: dict[str, Any] = {
            "input": {"uri": source},
            "output": None if output is None else {"uri": output},
            "query": query,
            "settings": settings,
            "write": write,
            "webhook": webhook,
        }
        given = {name: dict(part) for name, part in said.items() if part}
        # A key of its own, too, so that a request whose answer got lost is no second job.
        headers = {"idempotency-key": key or uuid.uuid4().hex}
        return _job(self._ask("POST", "v1/jobs", json=given, headers=headers))

    def status(self, job_id: str) -> Job:
        """Tell how far a job is."""
        return _job(self._ask("GET", f"v1/jobs/{job_id}"))

    def list(self, *, status: str | None = None) -> Iterator[Job]:
        """List the jobs of the token."""
        for page in self._pages("v1/jobs", "jobs", status=status):
            yield from map(_job, page["jobs"])

    def wait(self, job_id: str, *, seconds: float | None = None) -> Job:
        """Wait until a job has ended.

        Raises
        ------
        TimeoutError
            If it has not within so many seconds.
        ServiceError
            If the service is away for longer than the client is patient, or when the seconds are over.
        """
        until = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            limits = {} if seconds is None else {"patience_seconds": max(0.0, left)}
            job = _job(self._ask("GET", f"v1/jobs/{job_id}", **limits))
            if job.has_ended:
                return job
            if (left := until - time.monotonic()) <= 0:
                raise TimeoutError(f"job {job_id}: {job.status}, {job.finished} of {job.found} recordings")
            time.sleep(min(_LOOK_SECONDS, left))

    def cancel(self, job_id: str, *, results: bool = False) -> Job:
        """End a job; what is in flight stays. `results` removes what the service keeps of one that has ended."""
        params = {"results": True} if results else None
        return _job(self._ask("DELETE", f"v1/jobs/{job_id}", params=params))

    def recordings(
        self, job_id: str, *, classes: Sequence[str] = (), min_probability: float | None = None
    ) -> Recordings:
        """List what was heard in which recording, as `uss-ray find` does, and tell whether rows may be missing."""
        asked = {"class": [*classes] or None, "min_probability": min_probability}
        return Recordings(self._pages(f"v1/jobs/{job_id}/recordings", "recordings", **asked))

    def failures(self, job_id: str) -> Recordings:
        """List which recordings could not be separated: `recording_id`, `recording_uri` and `reason` of each."""
        return Recordings(self._pages(f"v1/jobs/{job_id}/failures", "failures"), name="failures")

    def _pages(self, path: str, name: str, **asked: Any) -> Iterator[Mapping[str, Any]]:
        """Give page by page what is listed under a name."""
        params = {key: value for key, value in asked.items() if value is not None}
        while True:
            page = self._ask("GET", path, params=params)
            with understood():
                page[name], cursor = [*page[name]], page["next"]
                if cursor is not None and cursor == params.get("cursor"):
                    raise ValueError("the same page again")
            yield page
            if cursor is None:
                return
            params["cursor"] = cursor


class Recordings(Iterator[Row]):
    """Rows of a job, as their pages are fetched.

    Parameters
    ----------
    pages : iterator of mapping
        As the service gives them.
    name : str, default="recordings"
        Under which they have their rows.

    Attributes
    ----------
    is_whole : bool
        False as soon as a page says that the job went on while they were read: rows may be missing.
    """

    def __init__(self, pages: Iterator[Mapping[str, Any]], *, name: str = "recordings") -> None:
        self.is_whole = True
        self._name = name
        self._rows = self._rows_of(pages)

    def __next__(self) -> Row:
        return next(self._rows)

    def _rows_of(self, pages: Iterator[Mapping[str, Any]]) -> Iterator[Row]:
        for page in pages:
            self.is_whole = self.is_whole and page.get("is_whole") is True
            yield from page[self._name]


def _job(said: Row) -> Job:
    with understood():
        return Job.of(said)
