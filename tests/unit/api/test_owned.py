"""What a program may take away: what it wrote itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from uss_ray.api.owned import Owned, anything, remove_empty_folders, remove_folder
from uss_ray.errors import OutputError
from uss_ray.store.store import Store

OWNED = Owned(
    {"index": re.compile(r"\d+\.parquet"), ".parts": re.compile(r"\d+/a\.f32")}, files=("all.json",)
)
MINE = {
    "index/notes.txt",
    "index/sub/1.parquet",
    ".parts/.notes",
    ".parts/0/b.f32",
    "1.parquet",
    "index-2/1.parquet",
}
OURS = {"index/1.parquet", "index/.0123456789abcdef.part", ".parts/0/a.f32", "all.json"}


@pytest.fixture(params=["disk", "memory"])
def output(request: Any, tmp_path: Path) -> Store:
    return Store(f"memory://owned{tmp_path}" if request.param == "memory" else tmp_path / "out")


def left(output: Store) -> set[str]:
    return {found.place.relative_to(output) for found in output.files(with_hidden=True)}


def test_what_is_called_otherwise_stays_with_its_folders(output: Store) -> None:
    for name in OURS | MINE:
        (output / name).put(b"x")
    assert {name for name in OURS | MINE if OWNED.has(name)} == OURS
    foreign = OWNED.foreign(output)
    assert foreign in MINE
    OWNED.remove(output)
    assert left(output) == MINE
    OWNED.remove(output)


def test_where_all_is_its_own_the_folders_go_too(output: Store) -> None:
    for name in (*OURS, "notes.txt"):
        (output / name).put(b"x")
    assert OWNED.foreign(output) is None
    OWNED.remove(output)
    assert left(output) == {"notes.txt"}
    if not output.is_remote:
        assert [path.name for path in output.local_path().iterdir()] == ["notes.txt"]


def test_a_link_is_not_gone_through(tmp_path: Path) -> None:
    output = Store(tmp_path / "out")
    (output.parent / "mine/1.parquet").put(b"mine")
    (output / "index/1.parquet").put(b"x")
    (tmp_path / "out/index/2.parquet").symlink_to(tmp_path / "mine/1.parquet")
    (tmp_path / "out/.parts").symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match="found a link"):
        OWNED.remove(output)
    assert (output.parent / "mine/1.parquet").read() == b"mine"


@pytest.mark.parametrize("takes_all", [True, False])
def test_a_folder_that_two_remove_is_removed(
    output: Store, monkeypatch: pytest.MonkeyPatch, takes_all: bool
) -> None:
    for name in ("a/1", "a/b/2"):
        (output / name).put(b"x")
    exists = Store.exists

    def removed_after(place: Store) -> bool:
        is_there = exists(place)
        monkeypatch.setattr(Store, "exists", exists)
        remove_folder(output, "a" if takes_all else "a/b", is_own=anything)
        return is_there

    monkeypatch.setattr(Store, "exists", removed_after)
    remove_folder(output, "a", is_own=anything)
    assert not (output / "a").exists()


def test_folders_of_files_that_are_gone_go_unless_they_hold_something(tmp_path: Path) -> None:
    for name in ("out/a/b/c", "out/kept/d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "out/kept/mine.txt").write_text("mine")
    remove_empty_folders(Store(tmp_path / "out"), ["a/b/c/1.flac", "kept/d/2.flac", "gone/3.flac", "4.flac"])
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["kept", "mine.txt"]
    remove_empty_folders(Store(tmp_path / "empty"), ["1.flac"])
