"""The cache against a real local HTTP server that resumes, drops, lies and refuses on demand."""

from __future__ import annotations

import hashlib
import multiprocessing
import re
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from tests.servers.shelf import Shelf, shelf_of_files
from uss_ray.errors import ConfigError, OutputError, RecordingError, WeightsError
from uss_ray.store import fetch as module
from uss_ray.store import patience
from uss_ray.store.fetch import cache_folder, fetch, forget
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store

CONTENT = np.random.default_rng(5).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def place_on(shelf: Shelf, name: str) -> Store:
    return Store(f"{shelf.address}{name}", None, WeightsError)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with shelf_of_files({"/model.pth": CONTENT}) as server:
        yield server


@pytest.fixture(autouse=True)
def _patience(own_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "300")


def leftovers() -> list[str]:
    return sorted(p.name for p in cache_folder().rglob("*") if re.search(r"\.(part|etag)$", p.name))


def test_the_cache_folder_is_read_when_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("USS_RAY_CACHE", str(tmp_path / "elsewhere"))
    assert cache_folder() == tmp_path / "elsewhere"
    monkeypatch.delenv("USS_RAY_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "uss_ray"


def test_a_file_is_downloaded_once_and_progress_is_told(shelf: Shelf) -> None:
    told: list[tuple[int, int | None]] = []
    first = fetch(
        place_on(shelf, "/model.pth"), sha256=SHA256, size=len(CONTENT), progress=lambda *a: told.append(a)
    )
    second = fetch(place_on(shelf, "/model.pth"), sha256=SHA256)
    assert first == second
    assert first.read_bytes() == CONTENT
    assert first.name == "model.pth"
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert len(shelf.ranges) == 1
    assert leftovers() == []


def test_a_download_is_no_wait_while_bytes_come(shelf: Shelf) -> None:
    seen: list[object] = []

    def progress(_: int, __: int | None) -> None:
        (wait,) = patience._waits.values()
        assert wait.heard is not None
        seen.append((wait.place, wait.heard()))

    fetch(place_on(shelf, "/model.pth"), progress=progress)
    assert seen[-1] == (f"{shelf.address}/model.pth", len(CONTENT))


def test_the_quoted_name_of_a_published_file_is_unquoted(shelf: Shelf) -> None:
    shelf.files["/files/Cnn14_mAP%3D0.431.pth"] = CONTENT
    assert fetch(place_on(shelf, "/files/Cnn14_mAP%3D0.431.pth?download=1")).name == "Cnn14_mAP=0.431.pth"


def test_a_dropped_connection_is_taken_up_where_it_stopped(shelf: Shelf) -> None:
    shelf.drop_after = [100_000, 50_000]
    assert fetch(place_on(shelf, "/model.pth"), sha256=SHA256).read_bytes() == CONTENT
    assert shelf.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_run_resumes_what_an_earlier_one_left(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "0")
    shelf.drop_after = [120_000]
    with pytest.raises(WeightsError, match="120000 of 300000 bytes"):
        fetch(place_on(shelf, "/model.pth"), sha256=SHA256)
    assert len(leftovers()) == 2
    assert fetch(place_on(shelf, "/model.pth"), sha256=SHA256).read_bytes() == CONTENT
    assert shelf.ranges[-1] == "bytes=120000-"


def test_a_file_that_changed_meanwhile_is_begun_again(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "0")
    shelf.drop_after = [120_000]
    with pytest.raises(WeightsError):
        fetch(place_on(shelf, "/model.pth"))
    shelf.files["/model.pth"] = CONTENT[::-1]
    assert fetch(place_on(shelf, "/model.pth")).read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("ends", [None, 200_000])
def test_a_part_of_another_file_or_a_short_one_is_not_the_rest(shelf: Shelf, ends: int | None) -> None:
    shelf.heeds_if_range = False
    shelf.drop_after = [100_000]
    other = CONTENT[::-1]

    def progress(_: int, __: int | None) -> None:
        if ends is None:
            shelf.files["/model.pth"] = other

    shelf.part_ends = [ends]
    expected = other if ends is None else CONTENT
    assert fetch(place_on(shelf, "/model.pth"), progress=progress).read_bytes() == expected
    again = None if ends is None else "bytes=200000-"
    assert shelf.ranges == [None, "bytes=100000-", again]


def test_a_length_that_is_none_is_as_good_as_none(shelf: Shelf) -> None:
    shelf.length = "abc"
    assert fetch(place_on(shelf, "/model.pth"), sha256=SHA256).read_bytes() == CONTENT


def test_what_is_forgotten_is_fetched_anew_and_no_longer_held_to(shelf: Shelf) -> None:
    path = fetch(place_on(shelf, "/model.pth"))
    shelf.files["/model.pth"] = CONTENT[::-1]
    path.unlink()
    with pytest.raises(WeightsError, match=rf"sha256 {SHA256} \(of the first download, kept in .*\.sha256\)"):
        fetch(place_on(shelf, "/model.pth"))
    forget(path)
    assert fetch(place_on(shelf, "/model.pth")).read_bytes() == CONTENT[::-1]


def test_a_server_that_cannot_resume_is_downloaded_from_the_start(shelf: Shelf) -> None:
    shelf.resumable = False
    shelf.drop_after = [100_000]
    assert fetch(place_on(shelf, "/model.pth"), sha256=SHA256).read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_whole_is_begun_again(shelf: Shelf) -> None:
    path = fetch(place_on(shelf, "/model.pth"))
    etag = f'"{SHA256[:16]}"'
    path.with_name("model.pth.part").write_bytes(CONTENT + b"more")
    path.with_name("model.pth.part.etag").write_text(etag)
    path.unlink()
    assert fetch(place_on(shelf, "/model.pth"), sha256=SHA256).read_bytes() == CONTENT


def test_a_damaged_half_from_an_earlier_run_is_fetched_again(shelf: Shelf) -> None:
    path = fetch(place_on(shelf, "/model.pth"))
    path.with_name("model.pth.part").write_bytes(b"\0" * 1000)
    path.with_name("model.pth.part.etag").write_text(f'"{SHA256[:16]}"')
    path.unlink()
    assert fetch(place_on(shelf, "/model.pth"), sha256=SHA256).read_bytes() == CONTENT
    assert shelf.ranges == [None, "bytes=1000-", None]


def test_a_busy_server_is_asked_again(shelf: Shelf) -> None:
    shelf.refusals = [503, 502, 429]
    assert fetch(place_on(shelf, "/model.pth"), sha256=SHA256).read_bytes() == CONTENT


@pytest.mark.slow
def test_a_server_that_stays_busy_is_given_up_in_one_line(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "0.5")
    shelf.refusals = [503] * 10_000
    with pytest.raises(WeightsError, match="HTTP 503") as caught:
        fetch(place_on(shelf, "/model.pth"))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_not_asked_for_twice(shelf: Shelf) -> None:
    with pytest.raises(WeightsError, match="HTTP 404"):
        fetch(place_on(shelf, "/nothing.pth"))
    assert len(shelf.ranges) == 1


def test_no_network_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "0")
    with pytest.raises(WeightsError, match=r"http://127\.0\.0\.1:9/model\.pth.*refused") as caught:
        fetch(Store("http://127.0.0.1:9/model.pth", None, WeightsError))
    assert "\n" not in str(caught.value)


def test_wrong_content_names_both_hashes_and_leaves_nothing(shelf: Shelf) -> None:
    expected = "0" * 64
    with pytest.raises(WeightsError, match=f"expected sha256 {expected}, found sha256 {SHA256}"):
        fetch(place_on(shelf, "/model.pth"), sha256=expected)
    assert leftovers() == []
    assert not list(cache_folder().rglob("model.pth"))


def test_a_wrong_size_is_refused_before_the_download(shelf: Shelf) -> None:
    told: list[object] = []
    with pytest.raises(WeightsError, match="expected 7 bytes, found 300000 bytes"):
        fetch(place_on(shelf, "/model.pth"), size=7, progress=lambda *a: told.append(a))
    assert told == []


def test_the_first_download_is_trusted_and_held_to(shelf: Shelf) -> None:
    path = fetch(place_on(shelf, "/model.pth"))
    assert path.with_name("model.pth.sha256").read_text() == f"{SHA256}  model.pth\n"
    path.write_bytes(b"altered")
    assert fetch(place_on(shelf, "/model.pth")).read_bytes() == CONTENT
    path.write_bytes(b"altered")
    shelf.files["/model.pth"] = b"another file"
    with pytest.raises(WeightsError, match=SHA256):
        fetch(place_on(shelf, "/model.pth"))


def test_a_malformed_sha256_is_refused() -> None:
    with pytest.raises(WeightsError, match="64 hexadecimal digits"):
        fetch(Store("http://127.0.0.1:9/model.pth", None, WeightsError), sha256="abc")


def test_two_addresses_with_one_name_do_not_meet(shelf: Shelf) -> None:
    shelf.files["/other/model.pth"] = b"other"
    assert fetch(place_on(shelf, "/model.pth")).read_bytes() == CONTENT
    assert fetch(place_on(shelf, "/other/model.pth")).read_bytes() == b"other"


def _fetch_in_process(place: Store, path: str) -> None:
    fetch(place, path=Path(path))


@pytest.mark.slow
def test_two_processes_download_once(shelf: Shelf, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(
            target=_fetch_in_process,
            args=(place_on(shelf, "/model.pth"), str(tmp_path / "shared" / "model.pth")),
        )
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(shelf.ranges) == 1


def test_a_cache_that_cannot_be_written_is_an_output_error(shelf: Shelf, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        fetch(place_on(shelf, "/model.pth"), path=blocked / "model.pth")


def test_an_object_store_is_fetched_and_resumed_through_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1000)
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/model.pth", CONTENT)
    assert fetch(Store("memory://bucket/model.pth"), sha256=SHA256).read_bytes() == CONTENT
    with pytest.raises(WeightsError, match="no such file"):
        fetch(Store("memory://bucket/absent.pth", None, WeightsError))
    with pytest.raises(ConfigError, match="nosuchscheme"):
        fetch(Store("nosuchscheme://bucket/absent.pth"))


def test_the_place_decides_the_kind_of_error_and_the_patience(shelf: Shelf) -> None:
    shelf.refusals = [503] * 10
    hurried = Store(str(place_on(shelf, "/model.pth")), StoreOptions(patience_seconds=0), RecordingError)
    with pytest.raises(RecordingError, match="HTTP 503"):
        fetch(hurried)
    assert len(shelf.ranges) == 1


def test_one_name_at_two_endpoints_is_two_files(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Path] = []
    monkeypatch.setattr(module, "_fetch_to", lambda path, *_: kept.append(path))
    for endpoint in ("http://one:9000", "http://other:9000"):
        fetch(Store("s3://bucket/model.pth", StoreOptions(endpoint=endpoint)))
    assert kept[0] != kept[1]
