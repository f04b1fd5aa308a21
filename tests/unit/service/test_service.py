from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from uss_ray.service.backend import EngineFacts
from uss_ray.service.service import Service
from uss_ray.service.settings import ServiceSettings


class _Backend:
    asked = 0

    async def facts(self) -> EngineFacts:
        self.asked += 1
        return EngineFacts(
            weights_name="w", weights_sha256="0", known_classes=(0,), sample_rate=32_000, device="cpu"
        )

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


def test_what_is_missing_is_named_part_by_part(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    without = _service(_Backend())
    assert without.store is None
    assert asyncio.run(without.missing()) == {"separator": "starts"}
    writable = _service(_Backend(), store=str(tmp_path / "store"))
    assert asyncio.run(writable.missing()) == {"separator": "starts"}
    away = _service(_Backend(), store=str(tmp_path / "file" / "store"))
    assert asyncio.run(away.missing()).keys() == {"separator", "store"}
