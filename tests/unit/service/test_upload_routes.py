"""Uploads from outside: what a tenant has brought along is an input of its own and of nobody else."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.servers.in_process import s3_by_default
from tests.unit.service.answers import KnownAnswers, flac
from tests.unit.service.conftest import AUTH, OTHER_TOKEN, TOKEN, Running, running
from uss_ray.client import Client, ServiceError
from uss_ray.service.settings import Limits, ServiceSettings

SOUND = flac(np.zeros((1, 8000), np.float32))
LIMITS = Limits(body_bytes=2000, uploads_bytes=5000, presigned_bytes=4000)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def taking(token_file: Path, store: Path) -> Iterator[Running]:
    settings = ServiceSettings(tokens=str(token_file), store=str(store), decoders=1, limits=LIMITS)
    with running(settings, KnownAnswers()) as service:
        yield service


@pytest.fixture
def http(taking: Running) -> Iterator[httpx.Client]:
    with taking.client() as client:
        yield client


def test_what_was_brought_along_is_an_input_of_its_tenant_alone(
    taking: Running, http: httpx.Client, store: Path
) -> None:
    put = http.put("/v1/uploads/dawn/a%20%C3%A9.flac", content=SOUND)
    assert put.status_code == 201, put.text
    said = put.json()
    assert said["bytes"] == len(SOUND)
    assert said["expires"] > time.time() + 86_000
    assert said["uri"] == str(store / "uploads" / "one" / "dawn" / "a é.flac")
    asked = {"input": {"uri": said["uri"]}}
    answer = http.post("/v1/separate", json=asked)
    assert answer.status_code == 200, answer.text
    with taking.client(token=OTHER_TOKEN) as other:
        assert other.post("/v1/separate", json=asked).status_code == 403
        assert other.delete("/v1/uploads/dawn/a%20%C3%A9.flac").status_code == 404
        theirs = other.put("/v1/uploads/dawn/b.flac", content=b"theirs").json()["uri"]
    assert "/two/" in theirs
    written = {"input": {"uri": said["uri"]}, "output": {"uri": str(store / "uploads" / "one" / "out")}}
    assert http.post("/v1/separate", json=written).status_code == 403
    again = http.put("/v1/uploads/dawn/a%20%C3%A9.flac", content=b"other")
    assert again.json()["uri"] == said["uri"]
    assert Path(said["uri"]).read_bytes() == b"other"
    assert http.put("/v1/uploads/dawn", content=b"x").status_code == 409
    assert http.put("/v1/uploads/dawn/a%20%C3%A9.flac/b", content=b"x").status_code == 409
    assert http.delete("/v1/uploads/dawn").status_code == 404
    assert http.delete("/v1/uploads/dawn/a%20%C3%A9.flac").status_code == 204
    assert http.post("/v1/separate", json=asked).status_code == 422
    assert http.put("/v1/uploads/dawn", content=b"x").status_code == 201  # its folder went with it


def test_a_name_that_could_be_another_is_refused(http: httpx.Client) -> None:
    for name in ("..%2f..%2ftwo%2fx", "%252e%252e", "a%5cb", ".hidden", "a%00", "a%2f%2fb", "x" * 201):
        answer = http.put(f"/v1/uploads/{name}", content=b"x")
        assert (answer.status_code, answer.json()["item"]) == (422, "name"), name


def test_what_is_too_much_is_refused_before_it_is_kept(http: httpx.Client, store: Path) -> None:
    def blocks() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x" * 1000

    for content in (b"x" * 2001, blocks()):
        long = http.put("/v1/uploads/long", content=content)
        assert (long.status_code, long.json()["limit"]) == (413, "body_bytes")
    assert not (store / "uploads" / "one" / "long").exists()
    assert http.put("/v1/uploads/empty", content=b"").status_code == 400
    assert http.put("/v1/uploads/a", files={"a": b"x"}).status_code == 415
    for header, status in (({"content-range": "bytes 0-0/9"}, 400), ({"content-encoding": "gzip"}, 415)):
        assert http.put("/v1/uploads/a", content=b"x", headers=header).status_code == status
    for number in (1, 2):
        assert http.put(f"/v1/uploads/{number}", content=b"x" * 2000).status_code == 201
    full = http.put("/v1/uploads/3", content=iter([b"x" * 1001]))
    assert (full.status_code, full.json()["limit"]) == (507, "uploads_bytes")
    assert http.put("/v1/uploads/2", content=b"y" * 2000).status_code == 201  # in place of what was there
    for number in (1, 2):
        assert http.delete(f"/v1/uploads/{number}").status_code == 204


def test_a_store_without_room_is_said_to_have_none(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("uss_ray.store.store._commit", full)
    answer = http.put("/v1/uploads/a", content=b"x")
    assert answer.status_code == 507
    assert str(tmp_path.parent) not in answer.text


def test_without_a_store_there_are_none(token_file: Path) -> None:
    with running(ServiceSettings(tokens=str(token_file), decoders=1), KnownAnswers()) as service:
        answer = httpx.put(f"{service.url}/v1/uploads/a", content=b"x", headers=AUTH)
    assert (answer.status_code, answer.json()["item"]) == (404, "uploads")


def test_nobody_gives_addresses_of_a_folder(http: httpx.Client) -> None:
    answer = http.post("/v1/uploads/a.wav?bytes=10")
    assert (answer.status_code, answer.json()["item"]) == (404, "presigned upload")


def test_the_client_brings_along_what_is_small_and_what_is_large(token_file: Path, tmp_path: Path) -> None:
    with s3_by_default("uploads"):
        settings = ServiceSettings(
            tokens=str(token_file), store="s3://uploads/store", decoders=1, limits=LIMITS, presign=True
        )
        with running(settings, KnownAnswers()) as service, Client(service.url, TOKEN) as client:
            (tmp_path / "small.flac").write_bytes(SOUND)
            assert client.upload(tmp_path / "small.flac") == "s3://uploads/store/uploads/one/small.flac"
            large = client.upload(b"x" * 3000, name="dawn/large.wav")
            assert large == "s3://uploads/store/uploads/one/dawn/large.wav"
            for uri, found in ((large, 422), ("s3://uploads/store/uploads/one/small.flac", 200)):
                answer = httpx.post(
                    f"{service.url}/v1/separate", json={"input": {"uri": uri}}, headers=AUTH, timeout=60
                )
                assert answer.status_code in (found, 413), answer.text
            with pytest.raises(ServiceError, match="4000 bytes"):
                client.upload(b"x" * 4001, name="a")
            with pytest.raises(ValueError, match="name"):
                client.upload(b"x")
            told = httpx.post(f"{service.url}/v1/uploads/a?bytes=5", headers=AUTH).json()
            assert "X-Amz-SignedHeaders=content-length" in told["url"]
            assert TOKEN not in json.dumps(told)
