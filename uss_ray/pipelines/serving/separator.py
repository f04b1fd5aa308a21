"""The separator of a service: an engine and its loop, as a replica of Ray Serve."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Mapping

import torch

from uss_ray.api.separator import load_engine
from uss_ray.errors import UssRayError
from uss_ray.separation.memory import keep_freed_memory
from uss_ray.service.backend import Answer, Backend, EngineFacts, Work
from uss_ray.service.in_process import InProcessBackend
from uss_ray.service.settings import ServiceSettings

MakeBackend = Callable[..., Backend]

logger = logging.getLogger(__name__)


class Separator:
    """Answers what the fronts ask.

    Parameters
    ----------
    settings : ServiceSettings
    threads : int
        CPU threads of the networks.
    make_backend : callable
        `InProcessBackend`, unless a test takes another.
    """

    def __init__(
        self, settings: ServiceSettings, threads: int, make_backend: MakeBackend = InProcessBackend
    ) -> None:
        torch.set_num_threads(threads)
        keep_freed_memory()
        sounds = settings.sounds()
        self._backend = make_backend(load_engine(sounds), sounds=sounds, limits=settings.limits)
        # What is loaded by now stays; a collection need not walk through it.
        gc.freeze()

    async def answer(self, work: Work) -> Answer | UssRayError:
        """Separate a recording; what is its own fault comes back as a value, so that it arrives as it was."""
        try:
            return await self._backend.answer(work)
        except UssRayError as error:
            return error

    async def facts(self) -> EngineFacts:
        """Tell what it separates with."""
        return await self._backend.facts()

    async def missing(self) -> Mapping[str, str]:
        """Tell what keeps it from answering."""
        return await self._backend.missing()
