"""A service with tiny weights under plain uvicorn, for all tests of the room."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.unit.service.answers import SOUND, answer_of, work_of
from uss_ray.api.separator import LoadedEngine, load_engine
from uss_ray.errors import OutputError
from uss_ray.service.app import create_app
from uss_ray.service.backend import Backend
from uss_ray.service.in_process import InProcessBackend
from uss_ray.service.keeper import JobKeeping
from uss_ray.service.kept import KeptResults
from uss_ray.service.result import Result
from uss_ray.service.settings import Limits, ServiceSettings
from uss_ray.store.store import Store

TOKEN, OTHER_TOKEN = "a token of the tests", "another token"
AUTH = {"authorization": f"Bearer {TOKEN}"}


@dataclass
class Running:
    """A service that answers."""

    url: str
    backend: Any
    app: Any

    def client(self, *, token: str | None = TOKEN) -> httpx.Client:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120.0)


class _Prompt(uvicorn.Server):
    """A server that looks ten times as often whether it is to end."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(0.01)


@contextmanager
def running(
    settings: ServiceSettings, backend: Backend, *, keeping: JobKeeping | None = None
) -> Iterator[Running]:
    app = create_app(backend, settings, keeping=keeping)
    server = _Prompt(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Running(f"http://127.0.0.1:{port}", backend, app)
    finally:
        server.should_exit = True
        thread.join()


def wait_until(condition: Callable[[], bool], *, seconds: float = 300.0, look_seconds: float = 0.01) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(look_seconds)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the first token may name."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def token_file(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "tokens.yaml"
    lines = ["tokens:"]
    for token, tenant in ((TOKEN, "one"), (OTHER_TOKEN, "two")):
        prefixes = f"[{shared_folder}]" if token == TOKEN else "[]"
        digest = hashlib.sha256(token.encode()).hexdigest()
        lines.append(f"  - {{sha256: {digest}, tenant: {tenant}, prefixes: {prefixes}}}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_settings(tiny_weights: Path, token_file: Path) -> ServiceSettings:
    limits = Limits(decoded_seconds=20, example_seconds=5, decoder_seconds=60)
    return ServiceSettings(
        weights=str(tiny_weights), tokens=str(token_file), device="cpu", limits=limits, decoders=1
    )


@pytest.fixture(scope="session")
def tiny_engine(tiny_settings: ServiceSettings) -> LoadedEngine:
    return load_engine(tiny_settings.sounds())


@pytest.fixture(scope="session")
def service(tiny_settings: ServiceSettings, tiny_engine: LoadedEngine) -> Iterator[Running]:
    with ExitStack() as stack:
        backend = InProcessBackend(tiny_engine, sounds=tiny_settings.sounds(), limits=tiny_settings.limits)
        yield stack.enter_context(running(tiny_settings, backend))


@pytest.fixture
def results(tmp_path: Path) -> KeptResults:
    return KeptResults(Store(str(tmp_path / "store"), error=OutputError))


@pytest.fixture
def made(results: KeptResults) -> Result:
    """A result of two stems that cancel, and a residual that is all of `SOUND`."""
    return results.keep(work_of(SOUND), answer_of(SOUND), tenant="one", seconds=60)
