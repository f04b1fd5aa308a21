from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from uss_ray.separation.memory import keep_freed_memory


def test_what_is_freed_is_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: dict[int, int] = {}

    def mallopt(option: int, value: int) -> int:
        chosen[option] = value
        return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    assert keep_freed_memory()
    assert chosen == {-3: 32 * 2**20, -1: 256 * 2**20}


@pytest.mark.parametrize(
    "library", [SimpleNamespace(), SimpleNamespace(mallopt=lambda *_: 0)], ids=["none", "refused"]
)
def test_a_library_without_the_switch_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, library: SimpleNamespace
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert not keep_freed_memory()
