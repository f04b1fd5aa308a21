"""Who repeats what when separators die; a real one dies in `tests/ray/test_serving.py`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError

from uss_ray.api.request import SoundRequest
from uss_ray.audio.spec import AudioSpec
from uss_ray.errors import QueryError
from uss_ray.pipelines.serving.ray_backend import RayBackend
from uss_ray.service.backend import Answer, Work
from uss_ray.service.problems import Refusal

ANSWER = Answer(rows=[], files={}, run={})


class Separators:
    """A handle whose method `answer` does what it is told."""

    def __init__(self, does: Callable[[Work], Any]) -> None:
        self._does = does
        self.asked = Counter[str]()
        self.cancelled = 0
        self.answer = self.missing = self.facts = self

    def remote(self, work: Work | None = None) -> Any:
        if work is not None:
            self.asked[work.sha256] += 1
        return _Response(self, self._does, work)


class _Response:
    def __init__(self, separators: Separators, does: Callable[..., Any], work: Work | None) -> None:
        self._separators, self._does, self._work = separators, does, work

    def __await__(self) -> Any:
        async def run() -> Any:
            await asyncio.sleep(0)
            found = self._does(self._work) if self._work is not None else self._does()
            return await found if asyncio.iscoroutine(found) else found

        return run().__await__()

    def cancel(self) -> None:
        self._separators.cancelled += 1


@pytest.fixture(autouse=True)
def put(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """What was put into the store, which gives it back as it is."""
    found: list[Work] = []

    def put(value: Work) -> Work:
        found.append(value)
        return value

    monkeypatch.setattr("ray.put", put)
    return found


def _work(sha256: str, *, frames: int = 10) -> Work:
    return Work(
        sounds=SoundRequest(),
        name="recording",
        spec=AudioSpec(32_000, 1, frames, "WAV", "FLOAT"),
        samples=np.zeros((1, frames), np.float32),
        sha256=sha256,
    )


@pytest.mark.parametrize(("seconds", "times"), [(10, 0), (60, 1)])
def test_what_is_large_goes_into_the_store_once_and_what_is_small_with_the_call(
    put: list[Work], seconds: int, times: int
) -> None:
    tries = iter([RayActorError, None])

    def dies_once(_: Work) -> Answer:
        if error := next(tries):
            raise error
        return ANSWER

    work = _work("a", frames=seconds * 32_000)
    assert asyncio.run(RayBackend(Separators(dies_once)).answer(work)) is ANSWER
    assert put == [work] * times


def test_what_a_separator_took_down_with_it_is_asked_once_more() -> None:
    arrived, all_are_there = 0, asyncio.Event()

    async def dies_once(work: Work) -> Answer:
        nonlocal arrived
        arrived += 1
        if arrived > 4:
            return ANSWER
        if arrived == 4:
            all_are_there.set()
        await all_are_there.wait()  # so that no request meets it twice
        raise RayActorError

    separators = Separators(dies_once)

    async def go() -> None:
        backend = RayBackend(separators)
        # Two clients sent the same recording: one death is one, however many requests it met.
        assert await asyncio.gather(*(backend.answer(_work(name)) for name in "aabc")) == [ANSWER] * 4
        assert await backend.answer(_work("a")) is ANSWER

    asyncio.run(go())
    assert separators.asked == {"a": 5, "b": 2, "c": 2}


def test_one_that_killed_two_is_refused_and_draws_nobody_with_it(caplog: pytest.LogCaptureFixture) -> None:
    alive = True

    async def kills(work: Work) -> Answer:
        nonlocal alive
        if work.sha256 == "poison":
            alive = False
            raise RayActorError
        await asyncio.sleep(0.01)
        if not alive:
            alive = True
            raise RayActorError
        return ANSWER

    separators = Separators(kills)

    async def go() -> None:
        backend = RayBackend(separators)
        innocent, poison = await asyncio.gather(
            backend.answer(_work("innocent")), backend.answer(_work("poison")), return_exceptions=True
        )
        assert isinstance(poison, Refusal)
        assert poison.status == 422
        assert innocent is ANSWER
        with pytest.raises(Refusal):
            await backend.answer(_work("poison"))

    asyncio.run(go())
    assert separators.asked["poison"] == 2
    assert "sha256 poison" in caplog.text


def test_faults_come_back_as_they_were_and_nobody_there_is_told() -> None:
    fault = QueryError("a", expected="b", found="c")

    async def go(does: Callable[..., Any]) -> None:
        await RayBackend(Separators(does)).answer(_work("a"))

    with pytest.raises(QueryError) as met:
        asyncio.run(go(lambda _: fault))
    assert met.value is fault

    def away(_: Any = None) -> Any:
        raise DeploymentUnavailableError(_Id())

    with pytest.raises(Refusal) as refused:
        asyncio.run(go(away))
    assert refused.value.status == 503
    with pytest.raises(Refusal) as refused:
        asyncio.run(RayBackend(Separators(away)).facts())
    assert refused.value.status == 503
    assert asyncio.run(RayBackend(Separators(away)).missing()) == {"separator": "is not there"}
    assert asyncio.run(RayBackend(Separators(dict)).missing()) == {}


class _Id:
    name, app_name = "Separator", "uss-ray"


def test_who_does_not_wait_cancels() -> None:
    separators = Separators(lambda _: asyncio.sleep(3600))

    async def go() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(RayBackend(separators).answer(_work("a")), 0.05)

    asyncio.run(go())
    assert separators.cancelled == 1
