"""Which weights have names, and whether they are here."""

from __future__ import annotations

import pytest

from uss_ray.store.fetch import cache_folder
from uss_ray.weights.known import known_weights, starter_folder

pytestmark = pytest.mark.usefixtures("own_cache")


def test_known_weights_say_whether_they_are_here() -> None:
    before = {known.name: known.folder for known in known_weights()}
    assert before["starter"] == starter_folder()
    assert before["panns-cnn14"] is None
    folder = cache_folder() / "weights" / "panns-cnn14"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert {known.name: known.folder for known in known_weights()}["panns-cnn14"] == folder
