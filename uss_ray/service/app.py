"""The application: all routes behind one gate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from uss_ray.service import info_routes, kept_routes, page_routes, separation_routes
from uss_ray.service.backend import Backend
from uss_ray.service.decoders import Decoders
from uss_ray.service.gate import Gate, Observe, as_refusal
from uss_ray.service.problems import Refusal
from uss_ray.service.service import Service
from uss_ray.service.settings import ServiceSettings
from uss_ray.service.tokens import Tokens
from uss_ray.version import VERSION

ROUTERS: Final[tuple[APIRouter, ...]] = (
    info_routes.router,
    kept_routes.router,
    page_routes.router,
    separation_routes.router,
)


def create_app(backend: Backend, settings: ServiceSettings, *, observe: Observe | None = None) -> FastAPI:
    """Make the application of a service.

    Parameters
    ----------
    backend : Backend
        Closed when the application ends.
    settings : ServiceSettings
    observe : callable, optional
        As of `Gate`.

    Raises
    ------
    ConfigError
        If the file of tokens is not what it should be.
    """
    tokens = Tokens.of(settings.tokens)
    decoders = Decoders(settings.limits, processes=settings.decoders)
    service = Service(settings, backend, decoders)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(service.sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            decoders.close()
            await backend.close()

    # The pages that would draw the interface take their scripts from elsewhere.
    app = FastAPI(title="USS-Ray", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_parameter)
    app.add_middleware(Gate, tokens=tokens, limits=settings.limits, observe=observe)
    return app


async def _refuse(_: Request, error: Exception) -> NoReturn:
    assert isinstance(error, HTTPException)
    raise as_refusal(error) from error


async def _refuse_parameter(_: Request, error: Exception) -> NoReturn:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    raise Refusal(place, expected=first["msg"], found=repr(first.get("input"))[:100], status=422) from error
