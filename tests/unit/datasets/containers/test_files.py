"""Clips as files of their own, however nested; only their places come out."""

from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.datasets.clip_audio import ClipPlace
from uss_ray.datasets.containers.files import FilesReader
from uss_ray.errors import DataError
from uss_ray.store.store import Store


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_audio_files_are_listed_by_name_wherever_they_lie(kind: str, tmp_path: Path) -> None:
    root = Store(tmp_path / "set" if kind == "local" else f"memory://{tmp_path.name}", None, DataError)
    for name in ("b/Yx_1.flac", "a/deep/y.WAV", "a/notes.txt", "a/.hidden.wav"):
        (root / name).put(b"sound")
    reader = FilesReader(root)
    places = [ClipPlace("y", str(root / "a/deep/y.WAV")), ClipPlace("Yx_1", str(root / "b/Yx_1.flac"))]
    assert list(reader.places()) == places
    (clip,) = reader(wanted=lambda name: name == "y")
    assert (clip.name, clip.location, clip.data, clip.samples) == ("y", places[0].location, None, None)
    assert [place.name for place in FilesReader(root / "a/deep/y.WAV").places()] == ["y"]


def test_nothing_there_is_a_fault_of_the_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        list(FilesReader(Store(tmp_path / "nowhere", None, DataError)).places())
