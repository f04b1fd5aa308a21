"""The application: all routes behind one gate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from uss_ray.service import (
    info_routes,
    job_routes,
    page_routes,
    result_routes,
    separation_routes,
    upload_routes,
)
from uss_ray.service.backend import Backend
from uss_ray.service.decoders import Decoders
from uss_ray.service.gate import OPEN_PATHS, Gate, Observe, as_refusal
from uss_ray.service.keeper import JobKeeping
from uss_ray.service.parameters import check_parameters
from uss_ray.service.problems import MEDIA_TYPE, Problem, Refusal
from uss_ray.service.service import Service
from uss_ray.service.settings import ServiceSettings
from uss_ray.service.threads import widen_loop
from uss_ray.service.tokens import LOCAL, Tenant, Tokens
from uss_ray.version import VERSION

ROUTERS: Final[tuple[APIRouter, ...]] = (
    info_routes.router,
    job_routes.router,
    page_routes.router,
    result_routes.router,
    separation_routes.router,
    upload_routes.router,
)


_PROBLEM: Final[dict[str, Any]] = {
    "description": "What is wrong",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Describe all calls, and what is answered where something is wrong."""
        if self.openapi_schema is not None:  # each call asks for it
            return self.openapi_schema
        document = super().openapi()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = (
            Problem.model_json_schema()
        )
        for path in OPEN_PATHS & document["paths"].keys():
            for call in document["paths"][path].values():
                call["security"] = []
        return document


def create_app(
    backend: Backend,
    settings: ServiceSettings,
    *,
    keeping: JobKeeping | None = None,
    observe: Observe | None = None,
) -> FastAPI:
    """Make the application of a service.

    Parameters
    ----------
    backend : Backend
        Closed when the application ends.
    settings : ServiceSettings
    keeping : JobKeeping, optional
        Who keeps its jobs, begun and closed with the application; None takes none.
    observe : callable, optional
        As of `Gate`.

    Raises
    ------
    ConfigError
        If the file of tokens is not what it should be.
    """
    tokens = Tokens.of(settings.tokens)
    decoders = Decoders(settings.limits, processes=settings.decoders)
    service = Service(settings, backend, decoders, keeping)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        widen_loop()
        if keeping is not None:
            await keeping.begin()
        sweeping = asyncio.create_task(service.sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            decoders.close()
            service.threads.close()
            if keeping is not None:
                await keeping.close()
            await backend.close()

    # The pages that would draw the interface take their scripts from elsewhere.
    app = _App(
        title="USS-Ray",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=dict.fromkeys((422, "4XX", "5XX"), _PROBLEM),
        dependencies=[
            Security(HTTPBearer(auto_error=False, description="A token; the gate asks for it.")),
            Depends(check_parameters),
        ],
    )
    app.state.service = service
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_parameter)
    local = Tenant(LOCAL.name, settings.prefixes)
    app.add_middleware(Gate, tokens=tokens, limits=settings.limits, local=local, observe=observe)
    return app


async def _refuse(_: Request, error: Exception) -> NoReturn:
    assert isinstance(error, HTTPException)
    raise as_refusal(error) from error


async def _refuse_parameter(_: Request, error: Exception) -> NoReturn:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    raise Refusal(place, expected=first["msg"], found=repr(first.get("input"))[:100], status=422) from error
