"""A service with tiny weights under plain uvicorn, for all tests of the room."""

from __future__ import annotations

import asyncio
import hashlib
import re
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
        hooks = {"response": [lambda answer: check_described(self.app.openapi(), answer)]}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120.0, event_hooks=hooks)


class _Prompt(uvicorn.Server):
    """A server that looks ten times as often whether it is to end."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(0.01)


def check_described(document: dict[str, Any], answer: httpx.Response) -> None:
    """Hold an answer to what the description of the service says: its status is there, and its type that of it."""
    call, path = answer.request.method.lower(), answer.request.url.path
    fit = [each for each in document["paths"] if re.fullmatch(_pattern(each), path)]
    calls = document["paths"][max(fit, key=_literal)] if fit else {}
    if call not in calls:  # a file of the page, or no call at all
        return
    responses = calls[call]["responses"]
    status = str(answer.status_code)
    told = responses.get(status) or responses.get(f"{status[0]}XX")
    assert told is not None, f"{call} {path}: {status} is not described"
    kinds, kind = told.get("content", {}).keys(), answer.headers.get("content-type", "").partition(";")[0]
    assert kind in (kinds or {""}), f"{call} {path}: {status} is {kind}, and described as {[*kinds]}"


def _pattern(path: str) -> str:
    """Turn a path of the description into an expression: what is named last may hold slashes."""
    literal = re.split(r"{[^}]+}", path)
    last = ".+" if path.endswith(("{name}", "{node_id}")) else "[^/]+"
    return "[^/]+".join(map(re.escape, literal[:-1])) + (
        last + re.escape(literal[-1]) if literal[1:] else path
    )


def _literal(path: str) -> int:
    return len(re.sub(r"{[^}]+}", "", path))


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
