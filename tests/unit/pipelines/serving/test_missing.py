from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from uss_ray.pipelines.serving import missing
from uss_ray.pipelines.serving.missing import missing_of


def _asked(answer: Callable[[], Coroutine[Any, Any, Any]]) -> dict[str, str]:
    return dict(asyncio.run(missing_of("keeper", SimpleNamespace(missing=SimpleNamespace(remote=answer)))))


async def _dead() -> None:
    raise RuntimeError("its actor died")


async def _silent() -> None:
    await asyncio.Event().wait()


async def _well() -> dict[str, str]:
    return {"jobs": "Ray's Jobs API does not answer"}


def test_a_part_says_what_it_lacks_or_is_missing_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _asked(_well) == {"jobs": "Ray's Jobs API does not answer"}
    assert _asked(_dead) == {"keeper": "is not there"}
    monkeypatch.setattr(missing, "_ASK_SECONDS", 0.01)
    assert _asked(_silent) == {"keeper": "does not answer within 0.01 s"}
