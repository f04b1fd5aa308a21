"""Separators on Ray as the HTTP face sees them: what one of them takes down with it is asked for once more."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError, ReplicaUnavailableError

from uss_ray.errors import UssRayError
from uss_ray.service.backend import Answer, EngineFacts, Work
from uss_ray.service.problems import Refusal

logger = logging.getLogger(__name__)

_DIED = (RayActorError, ReplicaUnavailableError)
_REMEMBERED = 1000
_ASK_SECONDS = 10.0


class RayBackend:
    """Separators behind a handle.

    A recording that was with a separator when it died is suspected. Suspects are repeated one at a time, so that one
    which kills a second separator does not draw others into suspicion; it is refused from then on.

    Parameters
    ----------
    separators : DeploymentHandle
        Of `Separator`.
    """

    def __init__(self, separators: Any) -> None:
        self._separators = separators
        self._suspects = asyncio.Lock()
        self._fatal: OrderedDict[str, None] = OrderedDict()

    async def facts(self) -> EngineFacts:
        """See `Backend`."""
        facts: EngineFacts = await self._separators.facts.remote()
        return facts

    async def answer(self, work: Work) -> Answer:
        """See `Backend`."""
        self._refuse_fatal(work.sha256)
        reference = await asyncio.to_thread(ray.put, work)
        try:
            return await self._asked(reference)
        except _DIED:
            logger.warning("a separator died with a recording of sha256 %s", work.sha256)
        async with self._suspects:
            self._refuse_fatal(work.sha256)
            try:
                return await self._asked(reference)
            except _DIED as error:
                logger.error("a recording of sha256 %s was there when a second separator died", work.sha256)
                self._fatal[work.sha256] = None
                while len(self._fatal) > _REMEMBERED:
                    self._fatal.popitem(last=False)
                raise _fatal() from error

    async def missing(self) -> Mapping[str, str]:
        """See `Backend`."""
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                missing: Mapping[str, str] = await self._separators.missing.remote()
        except TimeoutError:
            return {"separator": f"does not answer within {_ASK_SECONDS:g} s"}
        except (*_DIED, DeploymentUnavailableError):
            return {"separator": "is not there"}
        return missing

    async def close(self) -> None:
        """See `Backend`; separators are Serve's."""

    async def _asked(self, reference: Any) -> Answer:
        response = self._separators.answer.remote(reference)
        try:
            found: Answer | UssRayError = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except DeploymentUnavailableError as error:
            raise Refusal(
                "service", expected="a separator", found="none now", status=503, retry_after=10.0
            ) from error
        if isinstance(found, UssRayError):
            raise found
        return found

    def _refuse_fatal(self, sha256: str) -> None:
        if sha256 in self._fatal:
            raise _fatal()


def _fatal() -> Refusal:
    return Refusal(
        "recording",
        expected="a recording that separators survive",
        found="one that ended 2 of them",
        status=422,
    )
