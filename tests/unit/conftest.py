"""What tests of several rooms start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tests.synthetic_set import SyntheticSet, make_held_out, make_synthetic_set
from uss_ray.pipelines.training.request import ValidationSettings
from uss_ray.store.store import Store


@pytest.fixture(params=["local", "store"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An output root that is not there yet: a folder, or a prefix of an object store."""
    if request.param == "local":
        yield Store(tmp_path / "out")
        return
    store = fsspec.filesystem("memory")
    yield Store("memory://bucket/out")
    if store.exists("/bucket"):
        store.rm("/bucket", recursive=True)


@pytest.fixture(scope="session")
def synthetic_set(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSet:
    return make_synthetic_set(tmp_path_factory.mktemp("synthetic"))


@pytest.fixture(scope="module")
def described_set(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSet:
    """A few anchors that have both kinds of bottlenecks."""
    return make_synthetic_set(tmp_path_factory.mktemp("described"), count=4, latent=True)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> ValidationSettings:
    return make_held_out(tmp_path_factory.mktemp("held") / "set")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is fetched below the test's folder."""
    monkeypatch.setenv("USS_RAY_CACHE", str(tmp_path / "cache"))
