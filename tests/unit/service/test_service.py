from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.unit.service.answers import SOUND, work_of
from uss_ray.service.backend import Answer, EngineFacts, Work
from uss_ray.service.service import Service
from uss_ray.service.settings import ServiceSettings


class _Backend:
    asked = 0
    weights = "0"

    async def facts(self) -> EngineFacts:
        self.asked += 1
        return EngineFacts(
            weights_name="w",
            weights_sha256=self.weights,
            known_classes=(0,),
            sample_rate=32_000,
            device="cpu",
        )

    async def answer(self, work: Work) -> Answer:
        return Answer(rows=[], files={}, run={"weights_sha256": self.weights})

    async def missing(self) -> dict[str, str]:
        return {"separator": "starts"}


def _service(backend: Any, **settings: Any) -> Service:
    return Service(ServiceSettings(no_auth=True, **settings), backend, None)  # type: ignore[arg-type]


def test_what_it_separates_with_is_asked_once() -> None:
    backend = _Backend()
    service = _service(backend)

    async def go() -> None:
        assert (await service.known()).class_indexes == {0}
        assert (await service.facts()).weights_name == "w"

    asyncio.run(go())
    assert backend.asked == 1


def test_what_separators_of_other_weights_know_is_asked_again() -> None:
    """A front said for ever what the weights knew that were there when it began."""
    backend = _Backend()
    service = _service(backend)

    async def go() -> str:
        await service.facts()
        await service.answer(work_of(SOUND))
        assert (await service.facts()).weights_sha256 == "0"
        backend.weights = "1"
        await service.answer(work_of(SOUND))
        return (await service.facts()).weights_sha256

    assert asyncio.run(go()) == "1"
    assert backend.asked == 2


def test_what_is_missing_is_named_part_by_part(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    without = _service(_Backend())
    assert without.store is None
    assert asyncio.run(without.missing()) == {"separator": "starts"}
    writable = _service(_Backend(), store=str(tmp_path / "store"))
    assert asyncio.run(writable.missing()) == {"separator": "starts"}
    away = _service(_Backend(), store=str(tmp_path / "file" / "store"))
    assert asyncio.run(away.missing()).keys() == {"separator", "store"}
