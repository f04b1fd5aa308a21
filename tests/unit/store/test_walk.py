"""What may lie in a folder beside files: told by name, counted, and never the end or a hang of a listing."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from uss_ray.errors import RecordingError
from uss_ray.results.passed_over import PassedOver
from uss_ray.sources.listing import open_listing
from uss_ray.store.faults import is_infrastructure
from uss_ray.store.store import Store
from uss_ray.store.walk import walk


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    outside, folder = tmp_path / "outside", tmp_path / "archive"
    (outside / "deep").mkdir(parents=True)
    (folder / "sub").mkdir(parents=True)
    for place in (folder / "a.wav", folder / "sub" / "b.wav", outside / "deep" / "out.wav"):
        place.write_bytes(b"x")
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "loop").symlink_to("loop")
    (folder / "broken.wav").symlink_to("nothing.wav")
    (folder / "up").symlink_to("..")
    (folder / "sub" / "round").symlink_to(folder)
    (folder / "lent").symlink_to(outside)
    (folder / "lent.wav").symlink_to(outside / "deep" / "out.wav")
    (folder / "within.wav").symlink_to("sub/b.wav")
    os.mkfifo(folder / "pipe.wav")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(folder)  # the name of a socket is short
        try:
            listening.bind("socket.wav")
        finally:
            os.chdir(before)
    return folder


def listed(folder: Path, *, follow_links: bool) -> tuple[list[str], dict[str, str]]:
    told: dict[str, str] = {}
    found = walk(folder, follow_links=follow_links, tell=told.__setitem__)
    return [os.path.relpath(path, folder) for path, _ in found], told


def test_odd_entries_are_listed_or_told_and_links_that_lead_out_are_not_followed(odd: Path) -> None:
    names, told = listed(odd, follow_links=False)
    assert names == [
        *(
            "a.wav",
            "broken.wav",
            "loop",
            "loop.wav",
            "pipe",
            "pipe.wav",
            "socket.wav",
            "sub/b.wav",
            "within.wav",
        ),
    ]
    assert set(told) == {"up", "sub/round", "lent", "lent.wav"}
    assert str(odd.parent / "outside") in told["lent"]
    assert "--follow-links" in told["up"]
    assert "lies in" in told["sub/round"]


def test_links_that_lead_out_are_followed_if_that_is_wanted(odd: Path) -> None:
    names, told = listed(odd, follow_links=True)
    assert {"lent/deep/out.wav", "lent.wav", "up/outside/deep/out.wav"} <= set(names)
    assert "up/archive" in told


def test_an_archive_of_odd_entries_has_a_row_for_each_that_is_named_as_a_recording(odd: Path) -> None:
    passed = PassedOver()
    listing = open_listing(str(odd)).telling(passed.add, unlisted=passed.add_unlisted)
    rows = [row for table in listing.tables() for row in table.to_pylist()]
    assert [row["recording_id"] for row in rows] == [
        *("a.wav", "broken.wav", "loop.wav", "pipe.wav", "socket.wav", "sub/b.wav", "within.wav"),
    ]
    assert passed.names == ["loop", "pipe"]
    assert (passed.record()["unlisted_count"], passed.lost_count) == (4, 0)
    line = passed.unlisted_line()
    assert all(f"{name}: " in line for name in ("up", "sub/round", "lent", "lent.wav"))


@pytest.mark.parametrize("name", ["pipe.wav", "socket.wav", "loop.wav", "broken.wav"])
def test_what_is_no_regular_file_is_refused_at_once(odd: Path, name: str) -> None:
    for ask in (Store(odd / name).open, Store(odd / name).read):
        with pytest.raises(RecordingError, match=name):
            ask()
    if name == "pipe.wav":
        with pytest.raises(RecordingError, match="a pipe"):
            Store(odd / name).open()


def test_a_device_is_refused() -> None:
    with pytest.raises(RecordingError, match="a device"):
        Store("/dev/zero").read()


def test_a_name_in_no_encoding_is_told(tmp_path: Path) -> None:
    try:
        open(f"{tmp_path}/b\udcff.wav", "wb").close()
    except OSError:
        pytest.skip("this file system takes no such names")
    (tmp_path / "a.wav").touch()
    names, told = listed(tmp_path, follow_links=False)
    assert names == ["a.wav"]
    assert told == {"b\udcff.wav": "a name that is not UTF-8"}
    passed = PassedOver()
    rows = list(open_listing(str(tmp_path)).telling(passed.add, unlisted=passed.add_unlisted).tables())
    assert sum(table.num_rows for table in rows) == 1
    assert passed.unlisted == ["b\\udcff.wav: a name that is not UTF-8"]
    assert passed.lost_count == 1
    open(f"{tmp_path}/b\udcff.txt", "wb").close()
    [*open_listing(str(tmp_path)).telling(passed.add, unlisted=passed.add_unlisted).tables()]
    assert (passed.unlisted_count, passed.lost_count) == (3, 2)


@pytest.mark.parametrize(("folder", "is_lost"), [("lost+found", False), ("tapes.txt", True)])
def test_a_folder_that_may_not_be_read_is_told_and_what_it_holds_is_lost_but_for_that_of_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, is_lost: bool
) -> None:
    for name in ("a.wav", f"{folder}/b.wav", "z.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scan = os.scandir

    def refuse(path: str) -> object:  # tests may run as root, whom nothing is refused
        if str(path).endswith(folder):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    names, told = listed(tmp_path, follow_links=False)
    assert names == ["a.wav", "z.wav"]
    assert told == {folder: "no permission"}
    passed = PassedOver()
    [*open_listing(str(tmp_path)).telling(passed.add, unlisted=passed.add_unlisted).tables()]
    assert (passed.unlisted_count, passed.lost_count) == (1, is_lost)


@pytest.mark.parametrize("fault", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ETIMEDOUT])
def test_a_folder_that_a_disk_does_not_give_is_no_folder_that_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    """What lies in it would be missing in the results without a word of failure."""
    for name in ("a.wav", "tapes/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scan = os.scandir

    def away(folder: str) -> object:
        if str(folder).endswith("tapes"):
            raise OSError(fault, os.strerror(fault), folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", away)
    with pytest.raises(OSError, match=os.strerror(fault)):
        listed(tmp_path, follow_links=False)
    with pytest.raises(RecordingError) as raised:
        list(open_listing(str(tmp_path)).tables())
    assert is_infrastructure(raised.value)


@pytest.mark.parametrize("follow", [True, False])
def test_a_link_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follow: bool
) -> None:
    """As those of other users' processes are."""
    (tmp_path / "a.wav").touch()
    (tmp_path / "b").symlink_to("a.wav")
    real = os.path.realpath

    def refused(path: str) -> str:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("os.path.realpath", refused)
    told: list[tuple[str, str]] = []
    found = walk(tmp_path, follow_links=follow, tell=lambda name, why: told.append((name, why)))
    assert [Path(path).name for path, _ in found] == ["a.wav"]
    assert told == [("b", "no permission")]


def test_folders_may_be_deeper_than_python_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(folder: str) -> list[tuple[str, str, bool, bool]]:
        return [("d", f"{folder}/d", False, folder.count("/d") < 3000)]

    monkeypatch.setattr("uss_ray.store.walk._entries", entries)
    ((path, _),) = walk(Path("/x"))
    assert path.count("/d") == 3001
