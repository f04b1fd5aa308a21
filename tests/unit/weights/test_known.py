"""Which weights have names, and whether they are here."""

from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.store.fetch import cache_folder
from uss_ray.weights.known import known_weights, starter_folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USS_RAY_CACHE", str(tmp_path / "cache"))


def test_known_weights_say_whether_they_are_here() -> None:
    before = {known.name: known.folder for known in known_weights()}
    assert before["starter"] == starter_folder()
    assert before["panns-cnn14"] is None
    folder = cache_folder() / "weights" / "panns-cnn14"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert {known.name: known.folder for known in known_weights()}["panns-cnn14"] == folder
