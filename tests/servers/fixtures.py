"""Stores for tests: a folder, a real S3 server, and that server behind a proxy that fails on command.

The tests never meet a store of the user's: from the start, the environment names the test server and its keys and no
profile. So also a Ray that was started by an earlier test knows the server, which starts with the first test that
asks for it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.ceph import ACCESS_KEY, REGION, SECRET_KEY, CephServer, missing_programs, reserve_port
from tests.servers.faulty_proxy import FaultyProxy

BUCKET = "uss-ray-tests"

_held_port = reserve_port()
_PORT = _held_port.getsockname()[1]
_ENVIRONMENT = {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{_PORT}",
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    # No test may hang for the five minutes that a real store is given.
    "USS_RAY_STORAGE_PATIENCE_SECONDS": "20",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def pytest_configure() -> None:
    """Point this process, and all it will start, to the test server."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        if name != "AWS_CA_BUNDLE":
            del os.environ[name]
    os.environ.update(_ENVIRONMENT)


@pytest.fixture(autouse=True)
def _environment_of_stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a test did to the environment of the stores' clients; before `monkeypatch` does, to notice it."""
    before = _store_environment()
    yield
    if (after := _store_environment()) != before:
        for name in after:
            del os.environ[name]
        os.environ.update(before)
        forget_clients()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[CephServer]:
    """A real S3 server with the bucket `BUCKET`; the environment leads to it."""
    if missing := missing_programs():
        reason = f"no {', '.join(missing)}: tests/servers/install.sh installs Ceph"
        if os.environ.get("USS_RAY_REQUIRE_S3") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    server = CephServer(_PORT)
    server.start()
    try:
        server.client().create_bucket(Bucket=BUCKET)
        yield server
    finally:
        server.stop()


@pytest.fixture
def s3_root(s3_server: CephServer) -> Iterator[str]:
    """A prefix of its own on the S3 server."""
    root = f"s3://{BUCKET}/{secrets.token_hex(6)}"
    yield root
    _empty(s3_server, root.removeprefix(f"s3://{BUCKET}/"))


@pytest.fixture(params=["local", "s3"])
def storage_root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where to write: the same test on a local folder and on S3."""
    if request.param == "s3":
        root: str = request.getfixturevalue("s3_root")
        return root
    return str(tmp_path / "store")


@pytest.fixture
def faulty_s3(s3_server: CephServer, s3_root: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """The S3 server behind a proxy that fails on command; the environment leads to the proxy."""
    with FaultyProxy(s3_server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        forget_clients()
        yield proxy
    forget_clients()


def forget_clients() -> None:
    """Let the next request of this process make its client anew, from the environment as it is then."""
    from uss_ray.store.s3 import PatientS3FileSystem

    PatientS3FileSystem.clear_instance_cache()


def _store_environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name.startswith(("AWS_", "USS_RAY_STORAGE_"))
    }


def _empty(server: CephServer, prefix: str) -> None:
    client = server.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", ())]
        if keys:
            client.delete_objects(Bucket=BUCKET, Delete={"Objects": keys, "Quiet": True})
