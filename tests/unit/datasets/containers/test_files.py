"""Clips as files of their own, however nested; only their places come out."""

from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio, ClipPlace
from uss_ray.datasets.containers.files import FilesReader
from uss_ray.errors import DataError
from uss_ray.store.store import Store


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_audio_files_are_listed_by_name_wherever_they_lie(kind: str, tmp_path: Path) -> None:
    root = Store(tmp_path / "set" if kind == "local" else f"memory://{tmp_path.name}", None, DataError)
    for name in ("b/Yx_1.flac", "a/deep/y.WAV", "a/notes.txt", "a/.hidden.wav"):
        (root / name).put(b"sound")
    reader = FilesReader(root)
    files = {"y": root / "a/deep/y.WAV", "Yx_1": root / "b/Yx_1.flac"}
    places = [ClipPlace(name, str(file), file.content_tag()) for name, file in files.items()]
    assert list(reader.places()) == places
    (clip,) = reader(wanted=lambda name: name == "y")
    assert (clip.name, clip.location, clip.data, clip.samples) == ("y", places[0].location, None, None)
    assert [place.name for place in FilesReader(root / "a/deep/y.WAV").places()] == ["y"]


def test_nothing_there_is_a_fault_of_the_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        list(FilesReader(Store(tmp_path / "nowhere", None, DataError)).places())


def test_links_that_lead_out_are_followed_where_it_is_asked_for_and_else_told(tmp_path):
    inside, outside = tmp_path / "set", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / f"{folder.name}.wav").write_bytes(b"sound")
    (inside / "link.wav").symlink_to(outside / "outside.wav")
    (inside / "loop").symlink_to(inside)
    place = Store(inside, None, DataError)
    names = {item.name for item in FilesReader(place)() if isinstance(item, ClipAudio)}
    assert names == {"set", "link"}
    found = list(FilesReader(place, follow_links=False)())
    assert [item.name for item in found if isinstance(item, ClipAudio)] == ["set"]
    told = {item.location: item.reason for item in found if isinstance(item, BrokenContainer)}
    assert set(told) == {f"{inside}/link.wav", f"{inside}/loop"}
    assert "--follow-links" in told[f"{inside}/link.wav"]
