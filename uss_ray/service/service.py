"""What all calls of a service share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar

from starlette.requests import Request

from uss_ray.api.request import SoundRequest
from uss_ray.api.staging import check_output
from uss_ray.errors import UssRayError
from uss_ray.ontology.known import KnownNodes
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.service.backend import Answer, Backend, EngineFacts, Work
from uss_ray.service.decoders import Decoders
from uss_ray.service.jobs import JobTable
from uss_ray.service.keeper import JobKeeping
from uss_ray.service.places import place_of
from uss_ray.service.problems import Refusal
from uss_ray.service.results import Results
from uss_ray.service.settings import ServiceSettings
from uss_ray.service.threads import Threads
from uss_ray.service.tokens import Tenant
from uss_ray.service.uploads import Uploads
from uss_ray.store.options import StoreOptions
from uss_ray.store.patience import patience_seconds
from uss_ray.store.store import Store

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 120.0

_T = TypeVar("_T")

NO_STORE: Final = {"cache-control": "no-store"}
"""Header of what changes, or is nobody else's."""

UNCHANGED: Final = {"description": "What the client has (`If-None-Match`) is what there is."}
"""How the description of the service says what `is_known` is asked for."""


@dataclass
class Service:
    """Who separates, and what of.

    Attributes
    ----------
    settings : ServiceSettings
    backend : Backend
    decoders : Decoders
    keeping : JobKeeping or None
        Who keeps the jobs; None takes none.
    threads : Threads
        For what blocks for long.
    """

    settings: ServiceSettings
    backend: Backend
    decoders: Decoders
    keeping: JobKeeping | None = None
    threads: Threads = field(default_factory=Threads, init=False)
    _facts: EngineFacts | None = field(default=None, init=False)

    @cached_property
    def sounds(self) -> SoundRequest:
        """What is asked for where a call says nothing."""
        return self.settings.sounds()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The classes there are."""
        return Vocabulary.load(ontology_path=self.settings.ontology, classes_path=self.settings.class_list)

    @cached_property
    def store(self) -> Store | None:
        """Where it keeps what it keeps."""
        return self.settings.kept_at()

    @cached_property
    def storage(self) -> StoreOptions:
        """How places that a call names are reached: patiently, but nobody waits longer than for the call."""
        set_by_hand = self.settings.storage
        patience = min(patience_seconds(set_by_hand.patience_seconds), self.settings.limits.deadline_seconds)
        return set_by_hand.replace(patience_seconds=patience)

    @cached_property
    def _results(self) -> Results | None:
        return None if self.store is None else Results(self.store, presign=self.settings.presign)

    @property
    def results(self) -> Results:
        """The results that it keeps.

        Raises
        ------
        Refusal
            If it keeps nothing.
        """
        return _there(self._results, "results", found="one that keeps nothing")

    @cached_property
    def _uploads(self) -> Uploads | None:
        if self.store is None:
            return None
        return Uploads(self.store, self.settings.limits, presign=self.settings.presign)

    @property
    def uploads(self) -> Uploads:
        """What tenants have brought along.

        Raises
        ------
        Refusal
            If it keeps nothing.
        """
        return _there(self._uploads, "uploads", found="one that keeps nothing")

    def inputs_of(self, tenant: Tenant) -> tuple[str, ...]:
        """Tell below which places the recordings of a tenant may lie: those of its token, and its uploads."""
        own = () if self._uploads is None else self._uploads.prefixes_of(tenant.name)
        return (*tenant.prefixes, *own)

    @cached_property
    def closed(self) -> tuple[str, ...]:
        """What lies with the service, of all tenants."""
        if self.store is None:
            return ()
        root = str(self.store.absolute())
        try:
            place_of(root, item="store")
        except Refusal:  # no client could name it
            return ()
        return (root,)

    @cached_property
    def _jobs(self) -> JobTable | None:
        return None if self.store is None or self.keeping is None else JobTable(self.store)

    @property
    def takes_jobs(self) -> bool:
        """Whether there are jobs."""
        return self._jobs is not None

    @property
    def jobs(self) -> JobTable:
        """The table of jobs.

        Raises
        ------
        Refusal
            If it takes none.
        """
        return _there(self._jobs, "jobs", found="one that takes none")

    async def wake_keeper(self) -> None:
        """Say that there is a job to look at; if nobody hears it, the keeper finds it by itself."""
        if self.keeping is not None:
            try:
                await self.keeping.wake()
            except Exception:
                logger.warning("the keeper does not answer", exc_info=True)

    async def sweep(self) -> None:
        """Remove kept results and uploads that are over, every few minutes, until it is cancelled."""
        inputs = self._jobs.unfinished_inputs if self._jobs is not None else lambda _: ()
        while self._results is not None and self._uploads is not None:
            try:
                await asyncio.to_thread(self._results.kept.expire)
                await asyncio.to_thread(self._uploads.expire, inputs)
            except Exception:
                logger.exception("what is over could not be removed")
            await asyncio.sleep(_SWEEP_SECONDS)

    async def facts(self) -> EngineFacts:
        """Tell what it separates with; asked again where an answer is of other weights."""
        if self._facts is None:
            self._facts = await self.backend.facts()
        return self._facts

    async def answer(self, work: Work) -> Answer:
        """Separate a recording; see `Backend.answer`."""
        answer = await self.backend.answer(work)
        if self._facts is not None and self._facts.weights_sha256 != answer.run.get("weights_sha256"):
            self._facts = None  # separators have begun anew, with other weights under the same name
        return answer

    async def missing(self) -> Mapping[str, str]:
        """Tell what keeps it from working, by the name of the part."""
        missing = dict(await self.backend.missing())
        if self._jobs is not None and self.keeping is not None:
            missing |= await self.keeping.missing()
        if self.store is not None:
            try:
                await asyncio.to_thread(check_output, self.store)
            except UssRayError as error:
                logger.warning("the store cannot be written: %s", error.reason)
                missing["store"] = "cannot be written"
        return missing

    async def known(self) -> KnownNodes:
        """Tell which nodes the weights know."""
        return KnownNodes(self.vocabulary, (await self.facts()).known_classes)


def _there(part: _T | None, item: str, *, found: str) -> _T:
    """Give what a service without a store has not."""
    if part is None:
        raise Refusal(item, expected="a service with a store", found=found, status=404)
    return part


def is_known(request: Request, tag: str) -> bool:
    """Tell whether a client has what it asks for, by its `If-None-Match` (RFC 9110, section 13.1.2)."""
    said = request.headers.get("if-none-match", "").split(",")
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in said)


def service_of(request: Request) -> Service:
    """Give the service that a request came to."""
    service: Service = request.app.state.service
    return service
