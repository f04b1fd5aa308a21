"""A real S3 server that fails for a while, before every kind of request: the work goes on, whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.servers.ceph import CephServer
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.fixtures import BUCKET
from uss_ray.errors import OutputError, RecordingError, WeightsError
from uss_ray.store.faults import is_infrastructure, is_transient
from uss_ray.store.fetch import fetch
from uss_ray.store.store import Store, StoreOptions

CONTENT = np.random.default_rng(11).bytes(20_000_000)
SHORT = CONTENT[:100_000]


def put_by_another_road(server: CephServer, place: str, content: bytes) -> str:
    """Put a file without the code under test."""
    server.client().put_object(Bucket=BUCKET, Key=place.removeprefix(f"s3://{BUCKET}/"), Body=content)
    return place


@pytest.fixture
def placed(s3_server: CephServer, s3_root: str) -> str:
    """A long recording on the server."""
    return put_by_another_road(s3_server, str(Store(s3_root) / "long.wav"), CONTENT)


@pytest.fixture
def short(s3_server: CephServer, s3_root: str) -> str:
    """A short recording on the server."""
    return put_by_another_road(s3_server, str(Store(s3_root) / "short.wav"), SHORT)


@pytest.fixture
def local_file(tmp_path: Path) -> Path:
    path = tmp_path / "stem.flac"
    path.write_bytes(CONTENT)
    return path


def unfinished_uploads(server: CephServer) -> list[str]:
    found = server.client().list_multipart_uploads(Bucket=BUCKET)
    return [upload["Key"] for upload in found.get("Uploads", ())]


def test_an_open_recording_survives_connections_that_drop_in_the_middle(
    faulty_s3: FaultyProxy, placed: str
) -> None:
    with Store(placed).open() as file:
        assert file.read(1000) == CONTENT[:1000]
        faulty_s3.drop_answer(after_bytes=300_000, method="GET", times=2)
        faulty_s3.drop_request(method="GET", times=1)
        file.seek(12_000_000)
        assert file.read(6_000_000) == CONTENT[12_000_000:18_000_000]
    assert sum(request.status is None for request in faulty_s3.seen) == 3


def test_a_whole_read_survives_a_dropped_connection(faulty_s3: FaultyProxy, placed: str) -> None:
    faulty_s3.drop_answer(after_bytes=1_000_000, method="GET", times=1)
    assert Store(placed).read() == CONTENT


def test_an_upload_in_parts_survives_dropped_connections(
    faulty_s3: FaultyProxy, s3_server: CephServer, s3_root: str, local_file: Path
) -> None:
    faulty_s3.drop_request(after_bytes=3_000_000, target="partNumber=2", times=2)
    faulty_s3.drop_answer(after_bytes=None, target="partNumber=3", times=1)
    place = str(Store(s3_root) / "stem.flac")
    Store(place).put(local_file)
    assert Store(place).read() == CONTENT
    assert faulty_s3.count("PUT", "partNumber=1") == 1
    assert faulty_s3.count("PUT", "partNumber=2") == 3
    assert faulty_s3.count("PUT", "partNumber=3") == 2
    assert unfinished_uploads(s3_server) == []


@pytest.mark.parametrize("request_of_upload", ["uploads", "uploadId="])
def test_an_upload_whose_first_or_last_answer_gets_lost_is_whole(
    faulty_s3: FaultyProxy, s3_server: CephServer, s3_root: str, local_file: Path, request_of_upload: str
) -> None:
    faulty_s3.drop_answer(after_bytes=None, method="POST", target=request_of_upload, times=1)
    place = str(Store(s3_root) / "stem.flac")
    Store(place).put(local_file)
    assert Store(place).read() == CONTENT
    assert unfinished_uploads(s3_server) == []


def test_a_failed_upload_leaves_nothing(
    faulty_s3: FaultyProxy, s3_server: CephServer, s3_root: str, local_file: Path
) -> None:
    faulty_s3.refuse(403, target="partNumber=2")
    with pytest.raises(OutputError, match=r"stem\.flac.*no permission") as caught:
        (Store(s3_root) / "stem.flac").put(local_file)
    assert is_infrastructure(caught.value)
    assert faulty_s3.count("PUT", "partNumber=2") == 1
    assert unfinished_uploads(s3_server) == []
    assert not (Store(s3_root) / "stem.flac").exists()


def test_an_upload_given_up_is_aborted_though_the_store_is_still_shaky(
    faulty_s3: FaultyProxy, s3_server: CephServer, s3_root: str, local_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "3")
    faulty_s3.refuse(503, target="partNumber=2")
    faulty_s3.drop_request(method="DELETE", times=1)
    with pytest.raises(OutputError) as caught:
        (Store(s3_root) / "stem.flac").put(local_file)
    assert is_transient(caught.value)
    assert unfinished_uploads(s3_server) == []


OPERATIONS: dict[str, Callable[[str, Path], object]] = {
    "list": lambda root, _: [place.relative_to(Store(root)) for place in Store(root).list()],
    "size": lambda root, _: (Store(root) / "short.wav").size(),
    "exists": lambda root, _: (Store(root) / "short.wav").exists(),
    "read": lambda root, _: (Store(root) / "short.wav").read(),
    "open": lambda root, _: (Store(root) / "short.wav").open().read(10),
    "write": lambda root, _: (Store(root) / "index.json").put(b"x"),
    "put": lambda root, file: (Store(root) / "stem.flac").put(file),
    "remove": lambda root, _: (Store(root) / "short.wav").remove(),
}


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_survives_refusals(
    faulty_s3: FaultyProxy, s3_root: str, short: str, tmp_path: Path, operation: str, status: int
) -> None:
    local_file = tmp_path / "stem.flac"
    local_file.write_bytes(SHORT)
    act = OPERATIONS[operation]
    undisturbed = act(s3_root, local_file) if operation != "remove" else None
    faulty_s3.refuse(status, times=3)
    assert act(s3_root, local_file) == undisturbed
    assert sum(request.status == status for request in faulty_s3.seen) == 3
    assert Store(short).exists() == (operation != "remove")


def test_three_seconds_without_a_store_are_waited_out(
    faulty_s3: FaultyProxy, s3_root: str, local_file: Path
) -> None:
    began = time.monotonic()
    faulty_s3.refuse(503, seconds=3)
    (Store(s3_root) / "stem.flac").put(local_file)
    assert (Store(s3_root) / "stem.flac").read() == CONTENT
    assert time.monotonic() - began >= 3


def test_a_gateway_that_dies_and_comes_back_is_waited_for(
    faulty_s3: FaultyProxy, s3_server: CephServer, placed: str
) -> None:
    with Store(placed).open() as file:
        file.read(10)
        s3_server.kill_gateway()
        with pytest.raises(RecordingError) as caught:
            Store(placed, StoreOptions(patience_seconds=0.5)).size()
        s3_server.start_gateway()
        file.seek(15_000_000)
        assert file.read(10) == CONTENT[15_000_000:15_000_010]
    assert is_transient(caught.value)


def test_slow_answers_are_waited_for_and_asked_once(faulty_s3: FaultyProxy, s3_root: str, short: str) -> None:
    faulty_s3.delay(1.0, times=2)
    assert Store(short).size() == len(SHORT)
    (Store(s3_root) / "index.json").put(b"x")
    assert faulty_s3.count("HEAD") == faulty_s3.count("PUT") == 1


def test_a_store_that_stays_away_is_given_up_as_its_own_fault(
    faulty_s3: FaultyProxy, short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "1")
    with Store(short).open() as file:
        faulty_s3.refuse(503)
        with pytest.raises(OSError, match=r"SlowDown") as reading:
            file.read(10)
    with pytest.raises(RecordingError) as asking:
        Store(short).read()
    for caught in (reading, asking):
        assert is_transient(caught.value)
        assert is_infrastructure(caught.value)


@pytest.mark.parametrize("status", [403, 404])
def test_what_is_refused_for_good_is_asked_for_once(faulty_s3: FaultyProxy, short: str, status: int) -> None:
    faulty_s3.refuse(status)
    with pytest.raises(RecordingError):
        Store(short).open()
    assert faulty_s3.count("HEAD") == 1


def test_a_download_into_the_cache_goes_on_where_it_stopped(
    faulty_s3: FaultyProxy, short: str, tmp_path: Path
) -> None:
    faulty_s3.drop_answer(after_bytes=30_000, method="GET", times=2)
    faulty_s3.refuse(503, method="HEAD", times=2)
    assert fetch(Store(short), size=len(SHORT), path=tmp_path / "cache" / "short").read_bytes() == SHORT


def test_a_cache_without_a_store_says_so(
    faulty_s3: FaultyProxy, short: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "0.5")
    faulty_s3.refuse(503)
    with pytest.raises(WeightsError, match=r"complete download.*SlowDown|503") as caught:
        fetch(Store(short, None, WeightsError), path=tmp_path / "cache" / "short")
    assert is_infrastructure(caught.value)
