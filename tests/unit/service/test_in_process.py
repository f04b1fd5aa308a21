from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest

from uss_ray.api.separator import LoadedEngine
from uss_ray.audio.spec import AudioSpec
from uss_ray.service.backend import Work
from uss_ray.service.in_process import InProcessBackend
from uss_ray.service.problems import Refusal
from uss_ray.service.settings import Limits, ServiceSettings

RATE = 32_000


@asynccontextmanager
async def _backend(loaded: LoadedEngine, limits: Limits) -> AsyncIterator[InProcessBackend]:
    backend = InProcessBackend(loaded, sounds=ServiceSettings(no_auth=True).sounds(), limits=limits)
    try:
        yield backend
    finally:
        await backend.close()


def _work(settings: ServiceSettings, *, seconds: int = 3, seed: int = 0, **query: Any) -> Work:
    sounds = settings.sounds()
    noise = np.random.default_rng(seed).standard_normal((1, seconds * RATE)).astype(np.float32)
    return Work(
        sounds=sounds.replace(
            query=sounds.query.replace(events=not query, **query),
            write=sounds.write.replace(report=False, stem_format="wav"),
        ),
        name="recording",
        spec=AudioSpec(RATE, 1, seconds * RATE, "WAV", "FLOAT"),
        samples=0.1 * noise,
        sha256="0" * 64,
    )


@pytest.mark.slow
def test_answers_are_the_same_alone_and_side_by_side(
    tiny_settings: ServiceSettings, tiny_engine: LoadedEngine
) -> None:
    async def go() -> None:
        async with _backend(tiny_engine, tiny_settings.limits) as backend:
            work = _work(tiny_settings)
            alone = await backend.answer(work)
            beside = await asyncio.gather(*(backend.answer(_work(tiny_settings, seed=n)) for n in (1, 0, 2)))
            assert alone.files == beside[1].files
            assert alone.files
            assert beside[0].files != alone.files
            assert len(backend) == 0
            assert backend._plan.cache_info().misses == 1, "one plan for one query"

    asyncio.run(go())


@pytest.mark.slow
def test_who_does_not_wait_ends_the_session(
    tiny_settings: ServiceSettings, tiny_engine: LoadedEngine
) -> None:
    async def go() -> None:
        async with _backend(tiny_engine, tiny_settings.limits) as backend:
            asked = asyncio.create_task(backend.answer(_work(tiny_settings, seconds=60)))
            while not len(backend):
                await asyncio.sleep(0.01)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            while len(backend):
                await asyncio.sleep(0.01)
            assert (await backend.answer(_work(tiny_settings))).rows

    asyncio.run(go())


@pytest.mark.slow
def test_beyond_the_queue_a_request_is_put_off(
    tiny_settings: ServiceSettings, tiny_engine: LoadedEngine
) -> None:
    async def go() -> None:
        async with _backend(tiny_engine, Limits(queue_seconds=0.001)) as backend:
            first = asyncio.create_task(backend.answer(_work(tiny_settings, seconds=10)))
            while not len(backend):
                await asyncio.sleep(0.01)
            with pytest.raises(Refusal) as refused:
                await backend.answer(_work(tiny_settings))
            assert (refused.value.status, refused.value.limit) == (503, "queue_seconds")
            assert (await first).rows

    asyncio.run(go())


@pytest.mark.slow
def test_more_stems_than_fit_an_answer_are_refused(
    tiny_settings: ServiceSettings, tiny_engine: LoadedEngine
) -> None:
    async def go() -> None:
        async with _backend(tiny_engine, Limits(answer_bytes=1000)) as backend:
            with pytest.raises(Refusal) as refused:
                await backend.answer(_work(tiny_settings, classes=("Speech",)))
            assert refused.value.limit == "answer_bytes"

    asyncio.run(go())


def test_a_name_that_stands_for_nothing_is_a_row(
    tiny_settings: ServiceSettings, tiny_engine: LoadedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with _backend(tiny_engine, tiny_settings.limits) as backend:
            answer = await backend.answer(
                _work(tiny_settings, classes=("Speech", "Spech"), texts=("dog barking", "qqqq"))
            )
            failed = {row["label"]: row["reason"] for row in answer.rows if row["status"] == "failed"}
            assert failed.keys() == {"Spech", "qqqq"}
            assert "near: Speech" in failed["Spech"]
            facts = await backend.facts()
            assert (facts.weights_name, facts.device) == ("tiny", "cpu")
            assert await backend.missing() == {}
            backend._answered = -1e9
            answered = mock.AsyncMock(side_effect=backend._answer)
            with monkeypatch.context() as patched:
                patched.setattr(backend, "_answer", answered)
                assert await asyncio.gather(*(backend.missing() for _ in range(5))) == [{}] * 5
            assert answered.await_count == 1
            backend._answered = -1e9
            with monkeypatch.context() as patched:
                patched.setattr(backend._loop._scheduler._networks, "forward", None)
                assert (await backend.missing()).keys() == {"separator"}
            assert await backend.missing() == {}

    asyncio.run(go())
