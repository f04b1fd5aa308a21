from __future__ import annotations

import pytest

from uss_ray.errors import WeightsError
from uss_ray.weights.locate import describe_weights, known_weights, locate_weights


def test_a_local_folder_is_taken_as_it_is(tiny_weights):
    assert locate_weights(str(tiny_weights)) == tiny_weights


def test_a_uri_is_fetched_to_the_cache_once(tiny_weights, tmp_path, monkeypatch):
    import fsspec

    monkeypatch.setenv("USS_RAY_CACHE", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    try:
        store.put(str(tiny_weights), "/shelf/tiny", recursive=True)
        folder = locate_weights("memory://shelf/tiny")
        assert folder.is_relative_to(tmp_path / "cache")
        assert (
            describe_weights("memory://shelf/tiny")["sha256"] == describe_weights(str(tiny_weights))["sha256"]
        )
    finally:
        store.rm("/shelf", recursive=True)


def test_an_unknown_name_is_an_error_that_names_the_known_ones():
    with pytest.raises(WeightsError, match="panns-cnn14"):
        locate_weights("no-such-weights")


def test_known_weights_say_whether_they_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("USS_RAY_CACHE", str(tmp_path))
    before = {known.name: known.folder for known in known_weights()}
    assert before["panns-cnn14"] is None
    folder = tmp_path / "weights" / "panns-cnn14"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert {known.name: known.folder for known in known_weights()}["panns-cnn14"] == folder
