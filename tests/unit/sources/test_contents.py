"""The content of a file decides whether it is a recording, where its name does not tell."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import fsspec
import pytest

from uss_ray.errors import RecordingError
from uss_ray.results.passed_over import PassedOver
from uss_ray.sources.listing import open_listing
from uss_ray.store.store import Store


def names(archive: Store | str, **choice) -> tuple[list[str], PassedOver]:
    passed = PassedOver()
    listing = open_listing(archive, **choice).telling(passed.add)
    return [name for table in listing.tables() for name in table["recording_id"].to_pylist()], passed


@pytest.fixture
def archive(make_recording, tmp_path: Path) -> Path:
    content = make_recording("a.wav").read_bytes()
    folder = tmp_path / "archive"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.wav", "no ending", "b.xyz", "named.txt", "deep/film.MKV"):
        (folder / name).write_bytes(content)
    for name in ("notes.txt", "deep/list.csv", "README", "empty"):
        (folder / name).write_text("" if name == "empty" else "a word or two")
    return folder


def test_a_folder_is_looked_into_and_what_is_passed_over_is_told(archive: Path) -> None:
    found, passed = names(str(archive))
    assert sorted(found) == ["a.wav", "b.xyz", "deep/film.MKV", "named.txt", "no ending"]
    assert sorted(passed.names) == ["README", "deep/list.csv", "empty", "notes.txt"]
    assert passed.record()["count"] == 4
    assert passed.line() == "4 files are no recordings (2 without an ending, 1 .csv, 1 .txt)"


def test_in_a_store_texts_are_not_looked_into(archive: Path) -> None:
    store = fsspec.filesystem("memory")
    try:
        for path in archive.rglob("*"):
            if path.is_file():
                Store(f"memory://looked/{path.relative_to(archive)}").put(path.read_bytes())
        found, passed = names("memory://looked")
        assert sorted(found) == ["a.wav", "b.xyz", "deep/film.MKV", "no ending"]
        assert passed.count == 5
    finally:
        store.rm("/looked", recursive=True)


def test_shards_and_limits_tell_as_well_and_travel(archive: Path) -> None:
    whole, _ = names(str(archive))
    parts = [names(str(archive), shard=(number, 2)) for number in (1, 2)]
    assert sorted(parts[0][0] + parts[1][0]) == sorted(whole)
    assert [passed.count for _, passed in parts] == [4, 4]
    assert len(names(str(archive), limit=2)[0]) == 2
    listing = open_listing(str(archive), shard=(1, 2)).telling(print)
    assert pickle.loads(pickle.dumps(listing)) == listing  # noqa: S301 - readers travel to workers


def test_what_cannot_be_read_is_passed_over_without_a_wait(archive: Path) -> None:
    os.mkfifo(archive / "pipe")
    (archive / "gone").symlink_to("nowhere")
    found, _ = names(str(archive))
    assert len(found) == 5


@pytest.mark.parametrize("fault", [PermissionError(13, "no permission"), TimeoutError("no answer")])
def test_what_cannot_be_looked_into_is_not_taken_for_no_recording(
    archive: Path, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    there = Store.open

    def refuse(place: Store, *asked: Any, **named: Any) -> Any:
        if place.name in ("README", "notes.txt", "b.xyz"):
            if place.name == "b.xyz":  # gone since it was listed
                place.remove()
            raise RecordingError(str(place), expected="a readable file", found=str(fault)) from fault
        return there(place, *asked, **named)

    monkeypatch.setattr(Store, "open", refuse)
    found, passed = names(str(archive))
    assert sorted(found) == ["README", "a.wav", "deep/film.MKV", "named.txt", "no ending"]
    assert sorted(passed.names) == ["b.xyz", "deep/list.csv", "empty", "notes.txt"]
    for path in (archive, archive / "deep"):
        for name in ("a.wav", "no ending", "named.txt", "film.MKV"):
            (path / name).unlink(missing_ok=True)
    assert names(str(archive))[0] == ["README"]


def test_a_folder_of_texts_holds_no_recording(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(RecordingError, match="expected recordings"):
        open_listing(str(tmp_path))


def test_many_names_are_counted_and_the_first_are_kept() -> None:
    passed = PassedOver()
    passed.add([f"{number}.e{number % 5}" for number in range(5000)])
    assert (passed.count, len(passed.names)) == (5000, 100)
    assert passed.line().endswith("(1,000 .e0, 1,000 .e1, 1,000 .e2, 2,000 others)")
    one = PassedOver()
    one.add(["a.txt"])
    assert one.line() == "1 file is no recording (1 .txt)"
