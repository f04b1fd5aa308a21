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
from uss_ray.pipelines.serving.missing import missing_of
from uss_ray.service.backend import Answer, EngineFacts, Work
from uss_ray.service.problems import Refusal

logger = logging.getLogger(__name__)

_DIED = (RayActorError, ReplicaUnavailableError)
_REMEMBERED = 1000
_SMALL_BYTES = 2_500_000


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
        try:
            facts: EngineFacts = await _said(self._separators.facts.remote())
        except _DIED as error:
            raise _nobody() from error
        return facts

    async def answer(self, work: Work) -> Answer:
        """See `Backend`."""
        self._refuse_fatal(work.sha256)
        # What is small travels with the call; what is large is copied once, and not by the loop that all calls share.
        given = work if work.samples.nbytes <= _SMALL_BYTES else await asyncio.to_thread(ray.put, work)
        try:
            return await self._asked(given)
        except _DIED:
            logger.warning("a separator died with a recording of sha256 %s", work.sha256)
        async with self._suspects:
            self._refuse_fatal(work.sha256)
            try:
                return await self._asked(given)
            except _DIED as error:
                logger.error("a recording of sha256 %s was there when a second separator died", work.sha256)
                self._fatal[work.sha256] = None
                while len(self._fatal) > _REMEMBERED:
                    self._fatal.popitem(last=False)
                raise _fatal() from error

    async def missing(self) -> Mapping[str, str]:
        """See `Backend`."""
        return await missing_of("separator", self._separators)

    async def close(self) -> None:
        """See `Backend`; separators are Serve's."""

    async def _asked(self, given: Any) -> Answer:
        found: Answer | UssRayError = await _said(self._separators.answer.remote(given))
        if isinstance(found, UssRayError):
            raise found
        return found

    def _refuse_fatal(self, sha256: str) -> None:
        if sha256 in self._fatal:
            raise _fatal()


async def _said(response: Any) -> Any:
    """Wait for what a separator says; whoever does not wait any more cancels it."""
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise
    except DeploymentUnavailableError as error:
        raise _nobody() from error


def _nobody() -> Refusal:
    return Refusal("service", expected="a separator", found="none now", status=503, retry_after=10.0)


def _fatal() -> Refusal:
    return Refusal(
        "recording",
        expected="a recording that separators survive",
        found="one that ended 2 of them",
        status=422,
    )
