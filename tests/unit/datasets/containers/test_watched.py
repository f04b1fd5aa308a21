"""What is broken is told from what could not be read, whatever the library in between makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.datasets.conftest import PACKERS, FailingFile, Tones
from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio
from uss_ray.datasets.clip_sources import open_clip_source
from uss_ray.datasets.containers.watched import BrokenContentError, WatchedFile, open_watched
from uss_ray.errors import DataError
from uss_ray.store.store import Store


@pytest.mark.parametrize("kept", [0.3, 0.7])
@pytest.mark.parametrize("container", ["tar", "parquet", "hdf5"])
def test_a_container_that_is_cut_off_gives_what_is_whole_and_says_so(
    container: str, tones: Tones, kept: float, tmp_path: Path
) -> None:
    PACKERS[container](tones, str(tmp_path / "whole"))
    whole = open_clip_source(str(tmp_path / "whole")).readers[-1].place.local_path()
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[: round(whole.stat().st_size * kept)])
    (reader,) = open_clip_source(str(cut)).readers
    items = list(reader())
    assert isinstance(items[-1], BrokenContainer)
    assert items[-1].location.startswith(str(cut))
    assert all(isinstance(item, ClipAudio) for item in items[:-1])
    assert len(items) <= len(tones)
    assert any(isinstance(place, BrokenContainer) for place in reader.places())


@pytest.mark.parametrize("container", ["tar", "parquet", "hdf5"])
def test_a_store_that_fails_is_no_broken_container(
    container: str, tmp_path: Path, tones: Tones, monkeypatch: pytest.MonkeyPatch
) -> None:
    PACKERS[container](tones, str(tmp_path))
    reader = open_clip_source(str(tmp_path)).readers[0]
    whole = reader.place.open()
    fault = ConnectionResetError("gone away")
    file = FailingFile(whole, fault)
    monkeypatch.setattr(Store, "open", lambda _: file)
    assert all(isinstance(item, ClipAudio) for item in reader())
    for allowed in range(file.reads - 1):
        file.reads, file.allowed = 0, allowed
        with pytest.raises(DataError, match="gone away") as raised:
            list(reader())
        assert raised.value.__cause__ is fault


@pytest.fixture
def file(tmp_path: Path) -> Store:
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    return Store(tmp_path / "a.bin", None, DataError)


def test_a_fault_of_the_library_on_bytes_that_were_read_is_the_contents(file: Store) -> None:
    def misread() -> None:
        with open_watched(file, content_faults=(ValueError,)) as watched:
            assert watched.read(3) == b"012"
            raise ValueError("of this\nkind")

    with pytest.raises(BrokenContentError, match="of this kind"):
        misread()
    with pytest.raises(ZeroDivisionError), open_watched(file, content_faults=(KeyError,)):
        raise ZeroDivisionError  # a mistake of ours


def test_a_read_that_failed_goes_before_what_the_library_made_of_it(
    file: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = ConnectionResetError("gone away")
    failing = FailingFile(file.open(), fault)
    failing.allowed = 1
    monkeypatch.setattr(Store, "open", lambda _: failing)

    def read_twice(library_notices: bool) -> None:
        with open_watched(file, content_faults=(KeyError,)) as watched:
            assert (watched.read(2), watched.read(2)) == (b"01", b"")
            if library_notices:
                raise KeyError("no such key")

    for library_notices in (True, False):
        failing.reads = 0
        with pytest.raises(DataError, match="gone away") as raised:
            read_twice(library_notices)
        assert raised.value.__cause__ is fault
        failing.seek(0)


def test_a_buffer_that_cannot_be_filled_is_a_fault(file: Store) -> None:
    with file.open() as source:
        watched = WatchedFile(source)
        buffer = bytearray(b"x" * 12)
        assert watched.readinto(memoryview(buffer)) == 10
        assert isinstance(watched.fault, EOFError)
        assert watched.read(1) == b""


def test_a_missing_file_is_a_fault_of_the_data_set(tmp_path: Path) -> None:
    missing = Store(tmp_path / "none.tar", None, DataError)
    with pytest.raises(DataError, match=r"none\.tar"), open_watched(missing, content_faults=(KeyError,)):
        pass
