from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.service.answers import KnownAnswers
from tests.unit.service.conftest import AUTH, OTHER_TOKEN
from uss_ray.service.app import create_app
from uss_ray.service.body import _fetch
from uss_ray.service.service import Service
from uss_ray.service.settings import Limits, ServiceSettings
from uss_ray.service.threads import AT_ONCE, Threads
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store

WATCHDOG_SECONDS = 60.0


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_what_has_begun_counts_until_it_ends_and_what_has_not_is_never_done() -> None:
    threads, let_go, begun = Threads(), threading.Event(), threading.Semaphore(0)
    done: list[str] = []

    def block() -> None:
        begun.release()
        let_go.wait(WATCHDOG_SECONDS)
        done.append("began")

    async def go() -> None:
        tasks = [asyncio.create_task(threads.run("draw", block)) for _ in range(AT_ONCE["draw"])]
        for _ in tasks:
            await asyncio.to_thread(begun.acquire)
        await _cancelled(*tasks)
        queued = asyncio.create_task(threads.run("draw", lambda: done.append("queued")))
        last = asyncio.create_task(threads.run("draw", lambda: done.append("last")))
        await asyncio.sleep(0)
        await _cancelled(queued)
        assert done == []
        let_go.set()
        await last

    try:
        asyncio.run(asyncio.wait_for(go(), WATCHDOG_SECONDS))
    finally:
        let_go.set()
        threads.close()
    assert done[0] == "began"
    assert "queued" not in done


@asynccontextmanager
async def _asking(settings: ServiceSettings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(KnownAnswers(), settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service", timeout=None) as client,
    ):
        yield client


def test_calls_that_have_ended_keep_nobody_from_being_answered(
    token_file: Path, shared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five calls for a store that was slow, each kept one of a front's five threads after its end."""
    slow = shared_folder / "slow.wav"
    slow.write_bytes(b"x")
    let_go, begun = threading.Event(), threading.Semaphore(0)
    opened = Store.open

    def wait(place: Store, **how: Any) -> Any:
        if str(place) == str(slow):
            begun.release()
            let_go.wait(WATCHDOG_SECONDS)
        return opened(place, **how)

    monkeypatch.setattr(Store, "open", wait)
    settings = ServiceSettings(
        tokens=str(token_file), store=str(tmp_path), decoders=1, limits=Limits(at_once=AT_ONCE["fetch"])
    )

    async def go() -> None:
        async with _asking(settings) as client:
            asked = {"input": {"uri": str(slow)}}
            calls = [
                asyncio.create_task(client.post("/v1/separate", json=asked, headers=AUTH))
                for _ in range(AT_ONCE["fetch"])
            ]
            for _ in calls:
                assert await asyncio.to_thread(begun.acquire, timeout=WATCHDOG_SECONDS)
            await _cancelled(*calls)
            assert (await client.get("/readyz")).status_code == 200
            other = {"authorization": f"Bearer {OTHER_TOKEN}"}
            put = await client.put("/v1/uploads/a", content=b"x", headers=other)
            assert put.status_code == 201, put.text
            let_go.set()

    try:
        asyncio.run(asyncio.wait_for(go(), WATCHDOG_SECONDS))
    finally:
        let_go.set()


def test_a_loop_of_few_threads_gets_more(token_file: Path) -> None:
    """Serve gives that of a front five."""
    let_go = threading.Event()

    async def go() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        async with _asking(ServiceSettings(tokens=str(token_file), decoders=1)):
            waiting = asyncio.create_task(asyncio.to_thread(let_go.wait))
            await asyncio.to_thread(let_go.set)
            await waiting

    asyncio.run(asyncio.wait_for(go(), WATCHDOG_SECONDS))


def test_a_fetch_ends_with_its_call(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * (5 << 20))
    looks = iter([False, False, True])
    _fetch(
        Store(tmp_path / "long"),
        tmp_path / "copy",
        most=10 << 20,
        check=lambda _: None,
        has_ended=lambda: next(looks),
    )
    assert (tmp_path / "copy").stat().st_size == 2 << 20


def test_a_call_that_is_left_tells_its_fetch(
    token_file: Path, shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared_folder / "left.wav").write_bytes(b"x")
    heard: list[bool] = []
    begun, ended, done = threading.Event(), threading.Event(), threading.Event()

    def fetch(*_: Any, has_ended: Any, **__: Any) -> None:
        heard.append(has_ended())
        begun.set()
        ended.wait(WATCHDOG_SECONDS)
        heard.append(has_ended())
        done.set()

    monkeypatch.setattr("uss_ray.service.body._fetch", fetch)

    async def go() -> None:
        async with _asking(ServiceSettings(tokens=str(token_file), decoders=1)) as client:
            asked = {"input": {"uri": str(shared_folder / "left.wav")}}
            call = asyncio.create_task(client.post("/v1/separate", json=asked, headers=AUTH))
            await asyncio.to_thread(begun.wait)
            await _cancelled(call)
            ended.set()

    try:
        asyncio.run(asyncio.wait_for(go(), WATCHDOG_SECONDS))
    finally:
        ended.set()
    assert done.wait(WATCHDOG_SECONDS)
    assert heard == [False, True]


@pytest.mark.parametrize(
    ("said", "environment", "found"), [(None, "300", 7), (None, "3", 3), (5, "300", 5), (50, "3", 7)]
)
def test_nobody_waits_for_a_store_longer_than_for_the_call(
    said: float | None, environment: str, found: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", environment)
    settings = ServiceSettings(
        no_auth=True,
        limits=Limits(deadline_seconds=7),
        storage=StoreOptions(region="eu-north-1", patience_seconds=said),
    )
    service = Service(settings, None, None)  # type: ignore[arg-type]
    assert service.storage == StoreOptions(region="eu-north-1", patience_seconds=found)
