from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from uss_ray.errors import QueryError
from uss_ray.pipelines.serving.separator import Separator
from uss_ray.service.settings import ServiceSettings


class _Backend:
    def __init__(self, loaded: Any, **_: Any) -> None:
        self.loaded = loaded

    async def answer(self, work: Any) -> Any:
        if work is None:
            raise QueryError("a", expected="b", found="c")
        return work

    async def facts(self) -> str:
        return str(self.loaded.weights_name)

    async def missing(self) -> dict[str, str]:
        return {}


@pytest.fixture(autouse=True)
def _process_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    gc.unfreeze()


def test_faults_of_a_request_are_values(tiny_weights: Path) -> None:
    settings = ServiceSettings(no_auth=True, weights=str(tiny_weights), device="cpu")
    separator = Separator(settings, 1, _Backend)  # type: ignore[arg-type]
    assert torch.get_num_threads() == 1
    assert isinstance(asyncio.run(separator.answer(None)), QueryError)  # type: ignore[arg-type]
    assert asyncio.run(separator.answer("work")) == "work"  # type: ignore[arg-type]
    assert asyncio.run(separator.facts()) == "tiny"
    assert asyncio.run(separator.missing()) == {}
