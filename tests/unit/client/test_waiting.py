"""What is asked ends by its time, and what gets on does not."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from typing import Any

import httpx
import pytest

from uss_ray.client import waiting
from uss_ray.client.errors import ServiceError
from uss_ray.client.waiting import LEAST_BYTES, Clock, Waiting, by_its_time


class Ends:
    """When a request is to end."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def reschedule(self, when: float) -> None:
        self.at.append(when)


def test_a_file_that_gets_on_has_time_until_all_of_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now, ends = [0.0], Ends()
    monkeypatch.setattr(waiting, "_now", lambda: now[0])
    clock = Clock(ends, seconds=100.0, most_seconds=250.0)  # type: ignore[arg-type]
    for now[0] in (50.0, 90.0):
        clock.moved(LEAST_BYTES // 2)
    assert ends.at == [190.0]
    now[0] = 180.0
    clock.moved(LEAST_BYTES - 1)
    assert ends.at == [190.0]
    clock.moved(1)
    assert ends.at == [190.0, 250.0]


def test_what_does_not_end_is_an_error_that_may_pass() -> None:
    async def wait() -> None:
        async with by_its_time("http://service/", seconds=0.01):
            await asyncio.Event().wait()

    with pytest.raises(
        ServiceError, match=r"http://service/: expected all of an answer within 0\.01 s"
    ) as raised:
        asyncio.run(wait())
    assert raised.value.status == 0


async def said(http: httpx.AsyncClient) -> Any:
    return (await http.get("http://service/")).json()


def made() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=os.getpid())))


def test_threads_share_one_and_notebooks_may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Waiting(made)

    async def in_a_loop() -> Any:
        return asked.ask(said)

    assert asyncio.run(in_a_loop()) == os.getpid()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(asked.ask(said))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [os.getpid()] * 4
    asked.close()
    asked.close()


def test_a_process_that_was_forked_has_a_thread_of_its_own() -> None:
    asked = Waiting(made)
    assert asked.ask(said) == os.getpid()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, str(asked.ask(said)).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reading, 20)) == child
    os.close(reading)
    os.close(writing)
    asked.close()


def test_one_that_nobody_closes_leaves_no_thread() -> None:
    asked = Waiting(made)
    asked.ask(said)
    thread = asked._thread
    assert thread is not None
    del asked
    gc.collect()
    thread.join(300)
    assert not thread.is_alive()
