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


def test_of_a_link_that_is_called_as_its_own_the_link_goes(tmp_path: Path) -> None:
    """As DVC and git-annex leave them."""
    output = Store(tmp_path / "out")
    (output.parent / "mine/x").put(b"mine")
    (output / "index/1.parquet").put(b"x")
    (tmp_path / "out/index/2.parquet").symlink_to(tmp_path / "mine/x")
    (tmp_path / "out/index/3.parquet").symlink_to(tmp_path / "nowhere")
    (tmp_path / "out/index/4.parquet").symlink_to(tmp_path / "mine")
    assert OWNED.foreign(output) is None
    (tmp_path / "out/index/notes").symlink_to(tmp_path / "mine")
    assert OWNED.foreign(output) == "index/notes"
    OWNED.remove(output)
    assert [path.name for path in (tmp_path / "out/index").iterdir()] == ["notes"]
    assert (output.parent / "mine/x").read() == b"mine"


def test_a_folder_in_which_all_is_its_own_goes_with_its_links(tmp_path: Path) -> None:
    output = Store(tmp_path / "out")
    (output.parent / "mine/x").put(b"mine")
    (output / "job/a/x").put(b"x")
    links = {
        "out": "../../mine",
        "file": "../../mine/x",
        "nowhere": "nowhere",
        "within": "a",
        "a/loop": "../a",
    }
    for name, to in links.items():
        (tmp_path / "out/job" / name).symlink_to(to)
    remove_folder(output, "job", is_own=anything)
    assert list((tmp_path / "out").iterdir()) == []
    assert (output.parent / "mine/x").read() == b"mine"


@pytest.mark.parametrize("name", ["1 (conflicted copy).parquet", "all.parquet", "sub/1.parquet"])
def test_a_table_that_counts_and_stays_is_told(output: Store, name: str) -> None:
    for own in (*OURS, "index/notes.txt", "index/.hidden.parquet", "other/all.parquet"):
        (output / own).put(b"x")
    assert OWNED.foreign_table(output) is None
    (output / "index" / name).put(b"x")
    assert OWNED.foreign_table(output) == f"index/{name}"


def test_a_table_behind_a_link_is_told(tmp_path: Path) -> None:
    output = Store(tmp_path / "out")
    (output.parent / "mine/1.parquet").put(b"mine")
    (output / "index/1.parquet").put(b"x")
    (tmp_path / "out/index/sub").symlink_to(tmp_path / "mine")
    assert OWNED.foreign_table(output) == "index/sub/1.parquet"


@pytest.mark.parametrize("name", [".DS_Store", "._1.parquet", "Thumbs.db", "desktop.ini", "Desktop.ini"])
def test_what_file_managers_leave_is_nobodys_and_stays(output: Store, name: str) -> None:
    for place in (*OURS, f"index/{name}", f".parts/0/{name}"):
        (output / place).put(b"x")
    assert OWNED.foreign(output) is None
    OWNED.remove(output)
    assert left(output) == {f"index/{name}", f".parts/0/{name}"}


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
