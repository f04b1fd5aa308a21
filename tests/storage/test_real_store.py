"""A folder and a real S3 server keep the same promises; what a store refuses for good is refused at once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.servers.ceph import ACCESS_KEY, SECRET_KEY, CephServer
from tests.servers.fixtures import BUCKET, forget_clients
from uss_ray.api.staging import check_output
from uss_ray.errors import OutputError, RecordingError, UssRayError
from uss_ray.store.faults import is_infrastructure, is_transient
from uss_ray.store.options import StoreOptions
from uss_ray.store.patience import patiently
from uss_ray.store.store import Store

AtOnce = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def at_once(caplog: pytest.LogCaptureFixture) -> AtOnce:
    """A block in which no request is tried again: each try after the first is logged."""
    caplog.set_level(logging.INFO, "uss_ray.store.patience")

    @contextmanager
    def at_once() -> Iterator[None]:
        caplog.clear()
        yield
        assert not [record for record in caplog.records if record.name == "uss_ray.store.patience"]

    return at_once


def test_what_is_tried_again_is_not_at_once(at_once: AtOnce) -> None:
    answers = iter([ConnectionResetError()])
    with pytest.raises(AssertionError), at_once():
        patiently(lambda: _raised(answers))


def _raised(answers: Iterator[Exception]) -> None:
    if (error := next(answers, None)) is not None:
        raise error


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("big") / "stem.flac"
    path.write_bytes(np.random.default_rng(2).bytes(20_000_000))
    return path


def test_what_is_put_is_read_back_in_any_order(storage_root: str, big_file: Path) -> None:
    place = str(Store(storage_root) / "été" / "a b+c%20.flac")
    Store(place).put(big_file)
    content = big_file.read_bytes()
    assert Store(place).size() == len(content)
    with Store(place).open() as file:
        for start in (15_000_000, 0, 19_999_990, 7):
            file.seek(start)
            assert file.read(100) == content[start : start + 100]
    assert Store(place).read() == content


def test_an_older_file_stands_until_the_new_one_is_whole(
    storage_root: str, big_file: Path, tmp_path: Path
) -> None:
    place = str(Store(storage_root) / "stem.flac")
    older = tmp_path / "older"
    older.write_bytes(b"o" * 20_000_000)
    Store(place).put(older)
    sizes = set()
    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(Store(place).put, big_file)
        while not putting.done():
            sizes.add(Store(place).read()[:100])
        putting.result()
    assert sizes <= {b"o" * 100, big_file.read_bytes()[:100]}
    assert Store(place).read() == big_file.read_bytes()


def test_a_removed_file_is_gone_and_removing_it_again_is_no_fault(storage_root: str) -> None:
    place = str(Store(storage_root) / "a.json")
    Store(place).put(b"{}")
    Store(place).remove()
    assert not Store(place).exists()
    Store(place).remove()


def test_missing_things_are_the_contents_fault(storage_root: str, at_once: AtOnce) -> None:
    with at_once(), pytest.raises(RecordingError, match="no such file") as caught:
        (Store(storage_root) / "nothing.wav").open()
    assert not is_infrastructure(caught.value)
    assert not is_transient(caught.value)


def test_a_big_file_goes_up_in_parts_that_no_one_sees(
    s3_server: CephServer, s3_root: str, big_file: Path
) -> None:
    place = str(Store(s3_root) / "stem.flac")
    Store(place).put(big_file)
    head = s3_server.client().head_object(Bucket=BUCKET, Key=place.removeprefix(f"s3://{BUCKET}/"))
    assert head["ETag"].strip('"').endswith("-3")
    assert "Uploads" not in s3_server.client().list_multipart_uploads(Bucket=BUCKET)


def test_a_wrong_secret_is_refused_at_once_and_not_shown(
    s3_root: str, monkeypatch: pytest.MonkeyPatch, at_once: AtOnce
) -> None:
    wrong = "wrongsecret0000000000000000000000000001"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", wrong)
    forget_clients()
    for touch in TOUCHES:
        with at_once(), pytest.raises(UssRayError, match=r"credentials.*SignatureDoesNotMatch") as caught:
            touch(Store(s3_root) / "a.wav")
        told = "".join(str(error) for error in (caught.value, caught.value.__cause__))
        assert not any(secret in told for secret in (wrong, SECRET_KEY, ACCESS_KEY))
        assert is_infrastructure(caught.value)


def test_an_unknown_key_is_refused_at_once(
    s3_root: str, monkeypatch: pytest.MonkeyPatch, at_once: AtOnce
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobodyskey0000000001")
    forget_clients()
    with at_once(), pytest.raises(RecordingError, match="InvalidAccessKeyId"):
        (Store(s3_root) / "a.wav").open()


def test_a_place_of_somebody_else_is_refused_at_once(
    s3_server: CephServer, s3_root: str, monkeypatch: pytest.MonkeyPatch, at_once: AtOnce
) -> None:
    client = s3_server.client()
    place = str(Store(s3_root) / "secret.wav")
    Store(place).put(b"x")
    denial = f"""{{"Version": "2012-10-17", "Statement": [{{"Effect": "Deny", "Principal": "*",
        "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::{place.removeprefix("s3://")}"}}]}}"""
    client.put_bucket_policy(Bucket=BUCKET, Policy=denial)
    try:
        with at_once(), pytest.raises(RecordingError, match=r"no permission \(AccessDenied\)") as reading:
            Store(place).open()
        with at_once(), pytest.raises(OutputError, match=r"no permission \(AccessDenied\)") as writing:
            Store(place).put(b"y")
    finally:
        client.delete_bucket_policy(Bucket=BUCKET)
    assert not is_infrastructure(reading.value)
    assert is_infrastructure(writing.value)


def test_a_missing_bucket_is_refused_at_once(s3_server: CephServer, at_once: AtOnce) -> None:
    with at_once(), pytest.raises(OutputError, match="no such file, folder or bucket"):
        Store("s3://no-such-bucket/a.wav").put(b"x")
    with at_once(), pytest.raises(RecordingError, match="no such file, folder or bucket"):
        list(Store("s3://no-such-bucket/archive").list())
    with at_once(), pytest.raises(OutputError, match=r"^s3://no-such-bucket: .* found no such bucket$"):
        check_output(Store("s3://no-such-bucket/out/deep"))
    check_output(Store(f"s3://{BUCKET}/not-there/yet"))


@pytest.mark.slow
def test_no_credentials_are_told_at_once(tmp_path: Path) -> None:
    """In a process of its own, without the metadata service that other machines have."""
    code = """if True:
        import logging
        from uss_ray.errors import UssRayError
        from uss_ray.store.store import Store
        from uss_ray.store.faults import is_infrastructure
        place = Store("s3://bucket/a.wav")
        tries_again = []
        log = logging.getLogger("uss_ray.store.patience")
        log.setLevel(logging.INFO)
        log.addFilter(lambda record: tries_again.append(record))
        for touch in (place.open, place.exists, lambda: place.put(b"")):
            try:
                touch()
            except UssRayError as error:
                print(len(tries_again), is_infrastructure(error), error)
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # An address of documentation: like the metadata service where there is none, it never answers.
    environment |= {"HOME": str(tmp_path), "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://192.0.2.1/"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    told = done.stdout.splitlines()
    assert len(told) == 3, done.stderr
    for line in told:
        tries_again, infrastructure, message = line.split(" ", 2)
        assert tries_again == "0"
        assert infrastructure == "True"
        assert "no credentials (set AWS_ACCESS_KEY_ID" in message


def test_an_endpoint_whose_name_nobody_knows_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, at_once: AtOnce
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://no-such-host.invalid")
    forget_clients()
    with at_once(), pytest.raises(RecordingError) as caught:
        Store("s3://bucket/a.wav").open()
    assert is_infrastructure(caught.value)


def test_the_options_given_lead_to_the_store(
    s3_server: CephServer, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    forget_clients()
    root = Store(s3_root, StoreOptions(endpoint=s3_server.endpoint, region="us-east-1"))
    (root / "a").put(b"here")
    assert (root / "a").read() == b"here"


TOUCHES = (
    Store.open,
    Store.read,
    Store.size,
    Store.exists,
    lambda place: place.put(b"x"),
    lambda place: list(place.list()),
    Store.remove,
)
