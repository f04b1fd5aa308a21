"""Local folders, an S3 server and a web server give the same answers, and nothing half-written shows."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.servers.fixtures import forget_clients
from uss_ray.errors import ConfigError, OutputError, RecordingError, WeightsError
from uss_ray.store import uri
from uss_ray.store.systems import file_system

BUCKET = "uri-test"


# From the start of the module: what a test does to the environment is undone after it.
@pytest.fixture(scope="module", autouse=True)
def s3_endpoint() -> Iterator[str]:
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        forget_clients()
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield environment["AWS_ENDPOINT_URL"]
    forget_clients()
    server.stop()


@pytest.fixture(params=["local", "s3", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        request.getfixturevalue("s3_endpoint")
        return f"s3://{BUCKET}/{tmp_path.name}"
    if request.param == "memory":
        return f"memory://{tmp_path.name}"
    return str(tmp_path / "store")


def test_what_is_written_is_read_back_under_any_name(root: str) -> None:
    place = uri.join(root, "été 2024", "шум #1 50%?.wav")
    assert not uri.exists(place)
    uri.write_bytes(b"0123456789", place)
    assert uri.exists(place)
    assert uri.size(place) == 10
    assert uri.read_bytes(place) == b"0123456789"


def test_an_opened_file_seeks(root: str) -> None:
    place = uri.join(root, "clip.bin")
    uri.write_bytes(bytes(range(256)) * 100, place)
    with uri.open_binary(place) as file:
        file.seek(-256, os.SEEK_END)
        assert file.read() == bytes(range(256))
        file.seek(3)
        assert file.read(2) == b"\x03\x04"


def test_put_file_replaces_what_was_there(root: str, tmp_path: Path) -> None:
    source = tmp_path / "new file.flac"
    source.write_bytes(b"new" * 1000)
    place = uri.join(root, "stems", "m.flac")
    uri.write_bytes(b"old", place)
    uri.put_file(source, place)
    assert uri.read_bytes(place) == b"new" * 1000
    assert source.exists()


def test_remove_takes_a_file_away_and_forgives_its_absence(root: str) -> None:
    place = uri.join(root, "gone.txt")
    uri.write_bytes(b"x", place)
    uri.remove(place)
    assert not uri.exists(place)
    uri.remove(place)


def test_listing_is_complete_in_order_and_without_hidden_names(root: str) -> None:
    names = ["b.wav", "a/2.wav", "a/1.wav", "a.wav", "a-b/x.wav", "ä/深い/1.wav"]
    for name in [*names, ".part", "a/.tmp/1.wav"]:
        uri.write_bytes(b"x", uri.join(root, name))
    listed = list(uri.list_recursive(root))
    assert [uri.relative(place, base=root) for place in listed] == sorted(names)
    assert all(uri.read_bytes(place) == b"x" for place in listed)


def test_listing_a_folder_leaves_out_siblings_that_begin_alike(root: str) -> None:
    uri.write_bytes(b"x", uri.join(root, "archive/1.wav"))
    uri.write_bytes(b"x", uri.join(root, "archive-old/2.wav"))
    assert [Path(place).name for place in uri.list_recursive(uri.join(root, "archive"))] == ["1.wav"]


def test_a_single_file_lists_itself(root: str) -> None:
    place = uri.join(root, "one.wav")
    uri.write_bytes(b"x", place)
    assert list(uri.list_recursive(place)) == [place]


def test_listing_nothing_is_a_recording_error(root: str) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        list(uri.list_recursive(uri.join(root, "nowhere")))


def test_a_missing_file_is_an_error_of_the_kind_asked_for(root: str) -> None:
    missing = uri.join(root, "missing.wav")
    with pytest.raises(RecordingError, match=r"missing\.wav"):
        uri.open_binary(missing)
    with pytest.raises(RecordingError, match=r"missing\.wav"):
        uri.size(missing)
    with pytest.raises(WeightsError, match=r"missing\.wav"):
        uri.read_bytes(missing, error=WeightsError)


def test_a_listing_of_s3_goes_on_past_its_first_page(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, _ = file_system(f"s3://{BUCKET}")
    for number in range(5):
        uri.write_bytes(b"x", f"s3://{BUCKET}/paged/{number}.wav")
    whole_call = type(system).call_s3
    pages = []

    def small_pages(self: Any, method: str, **request: Any) -> Any:
        pages.append(request.get("ContinuationToken"))
        return whole_call(self, method, MaxKeys=2, **request)

    monkeypatch.setattr(type(system), "call_s3", small_pages)
    listed = list(uri.list_recursive(f"s3://{BUCKET}/paged"))
    assert listed == [f"s3://{BUCKET}/paged/{number}.wav" for number in range(5)]
    assert len(pages) == 3


def test_folder_markers_of_s3_are_not_files(s3_endpoint: str) -> None:
    uri.write_bytes(b"x", f"s3://{BUCKET}/marked/1.wav")
    system, _ = file_system(f"s3://{BUCKET}")
    system.call_s3("put_object", Bucket=BUCKET, Key="marked/", Body=b"")
    assert list(uri.list_recursive(f"s3://{BUCKET}/marked")) == [f"s3://{BUCKET}/marked/1.wav"]


def test_a_missing_bucket_cannot_be_written(s3_endpoint: str) -> None:
    with pytest.raises(OutputError, match=r"s3://no-such-bucket/x\.flac"):
        uri.write_bytes(b"x", "s3://no-such-bucket/x.flac")


def test_a_store_that_does_not_answer_is_an_error_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "0")
    forget_clients()
    with pytest.raises(RecordingError, match=r"s3://bucket/a\.wav"):
        uri.read_bytes("s3://bucket/a.wav")


def test_a_failed_local_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "index.json"
    place.write_bytes(b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uri.os, "fsync", full_disk)
    with pytest.raises(OutputError, match=r"index\.json.*No space left"):
        uri.write_bytes(b"new", place)
    assert place.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["index.json"]


def test_a_place_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"file/stem\.flac"):
        uri.write_bytes(b"x", tmp_path / "file" / "stem.flac")


def test_local_names_that_look_like_chains_or_patterns_are_taken_literally(tmp_path: Path) -> None:
    for name in ("a::b.wav", "c*.wav", "[d].wav", "e#f.wav"):
        place = uri.join(tmp_path, name)
        uri.write_bytes(name.encode(), place)
        assert uri.read_bytes(place) == name.encode()
    assert len(list(uri.list_recursive(tmp_path))) == 4


def test_a_folder_linked_into_itself_is_listed_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.wav").write_bytes(b"x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    names = [uri.relative(place, base=tmp_path) for place in uri.list_recursive(tmp_path)]
    assert names == ["a/1.wav", "linked/1.wav"]


def test_a_web_server_without_ranges_still_gives_a_seekable_file(tmp_path: Path) -> None:
    (tmp_path / "clip.bin").write_bytes(bytes(range(256)) * 64)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        with uri.open_binary(f"{base}/clip.bin") as file:
            file.seek(300)
            assert file.read(3) == bytes([44, 45, 46])
        with pytest.raises(RecordingError, match=r"missing\.bin"):
            uri.open_binary(f"{base}/missing.bin")
        with pytest.raises(RecordingError, match="can be listed"):
            list(uri.list_recursive(base))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_unknown_scheme_is_a_setting_error() -> None:
    with pytest.raises(ConfigError, match="nosuch://"):
        uri.read_bytes("nosuch://bucket/a.wav")


def test_s3_without_s3fs_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules, "uss_ray.store.s3", raising=False)
    with pytest.raises(ConfigError, match="pip install s3fs"):
        uri.read_bytes("s3://bucket/a.wav")


def test_importing_brings_in_no_object_store_client() -> None:
    code = "import sys, uss_ray.store.uri; print({'s3fs', 'botocore', 'torch', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_relative_refuses_what_is_not_below() -> None:
    with pytest.raises(ValueError, match="not below"):
        uri.relative("s3://bucket/archive-old/a.wav", base="s3://bucket/archive")


def test_a_listing_tells_sizes(root: str) -> None:
    for name, data in (("b.bin", b"12"), ("a/x.bin", b"12345"), ("empty.bin", b"")):
        uri.write_bytes(data, uri.join(root, name))
    found = {uri.relative(file.location, base=root): file.size_bytes for file in uri.list_files(root)}
    assert found == {"a/x.bin": 5, "b.bin": 2, "empty.bin": 0}
    (alone,) = uri.list_files(uri.join(root, "b.bin"))
    assert alone == uri.FoundFile(uri.join(root, "b.bin"), 2)
