"""All results that a service keeps, of calls and of jobs, by their ids."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from uss_ray.service.job_results import JobResults, is_of_job
from uss_ray.service.jobs import JobTable
from uss_ray.service.kept import KeptResults
from uss_ray.service.problems import Refusal
from uss_ray.service.result import Part, Result, gone
from uss_ray.store.store import Store
from uss_ray.store.systems import S3_SCHEMES

_REMEMBERED = 32
_PRESIGNED_SECONDS = 60


class Results:
    """The results in a store.

    Parameters
    ----------
    store : Store
        Root of what the service keeps.
    presign : bool, default=False
        Whether objects are fetched from the store itself, by addresses that are good for a minute.

    Attributes
    ----------
    kept : KeptResults
        Those of calls.
    """

    def __init__(self, store: Store, *, presign: bool = False) -> None:
        self.kept = KeptResults(store)
        self._of_jobs = JobResults(JobTable(store))
        self._presign = presign and store.scheme in S3_SCHEMES
        self._known: OrderedDict[tuple[str, str], Result] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, tenant: str, result_id: str, *, is_remembered: bool = False) -> Result:
        """Give a result that is there.

        Parameters
        ----------
        tenant, result_id : str
        is_remembered : bool, default=False
            Whether what was known of it lately will do: for who reads its files and so hears that it is gone.

        Raises
        ------
        Refusal
            If there is none of that id, it is another tenant's, or it is over.
        """
        with self._lock:
            known = self._known.get((tenant, result_id)) if is_remembered else None
        if known is None:
            found = self._of_jobs if is_of_job(result_id) else self.kept
            known = found.find(tenant, result_id)
            with self._lock:
                self._known[tenant, result_id] = known
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        if known.expires is not None and known.expires <= time.time():
            raise gone(result_id)
        return known

    def remove(self, tenant: str, result_id: str) -> None:
        """Remove a result.

        Raises
        ------
        Refusal
            If there is none of that id, or it goes with its job.
        OutputError
            If it cannot be removed.
        """
        if is_of_job(result_id):
            self.find(tenant, result_id)
            raise Refusal(
                f"result {result_id}",
                expected="a result of its own",
                found="one of a job: DELETE /v1/jobs/{id}?results=true removes them all",
                status=409,
            )
        self.kept.remove(tenant, result_id)
        with self._lock:
            self._known.pop((tenant, result_id), None)

    def presigned(self, part: Part) -> str | None:
        """Give an address of an object in the store; None where it comes through the service."""
        if not self._presign:
            return None
        system, path = part.place.file_system()
        return str(system.sign(path, expiration=_PRESIGNED_SECONDS))
