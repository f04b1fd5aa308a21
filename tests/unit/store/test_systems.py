"""Options reach the client; what is not given is left to the environment."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from uss_ray.store.options import StoreOptions
from uss_ray.store.systems import file_system

pytest.importorskip("s3fs")


def s3(**options: Any) -> Any:
    return file_system("s3://bucket/a", StoreOptions(**options))[0]


def client_of(system: Any) -> Any:
    system.connect(refresh=True)
    return system._s3.meta


def test_every_option_reaches_the_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("AWS_REQUEST_CHECKSUM_CALCULATION", raising=False)
    monkeypatch.delenv("AWS_RESPONSE_CHECKSUM_VALIDATION", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://other.example")
    monkeypatch.setenv("AWS_REGION", "us-west-1")
    profiles = tmp_path / "credentials"
    profiles.write_text("[archive]\naws_access_key_id = of-the-profile\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profiles))
    system = s3(
        endpoint="https://store.example:9000", profile="archive", region="eu-north-1", patience_seconds=1.5
    )
    client = client_of(system)
    assert client.endpoint_url == "https://store.example:9000"
    assert client.region_name == "eu-north-1"
    assert client.config.request_checksum_calculation == "when_required"
    assert client.config.response_checksum_validation == "when_required"
    assert client.config.retries["total_max_attempts"] == 1
    assert system._s3._request_signer._credentials.access_key == "of-the-profile"
    assert system._seconds == 1.5


def test_what_is_not_given_is_left_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://environment.example")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    client = client_of(s3())
    assert client.endpoint_url == "https://environment.example"
    assert client.region_name == "us-west-2"
    monkeypatch.setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_supported")
    chosen = client_of(s3(endpoint="https://one.example"))
    assert chosen.config.request_checksum_calculation == "when_supported"


def test_one_client_for_equal_options_whatever_the_thread() -> None:
    one = s3(endpoint="https://one.example")
    assert s3(endpoint="https://one.example") is one
    assert s3(endpoint="https://two.example") is not one
    assert s3(endpoint="https://one.example", patience_seconds=3) is not one
    found = []
    thread = threading.Thread(target=lambda: found.append(s3(endpoint="https://one.example")))
    thread.start()
    thread.join()
    assert found == [one]


def test_patience_with_a_web_server_travels_too() -> None:
    system, path = file_system("https://host/a b.wav", StoreOptions(patience_seconds=2))
    assert (system._seconds, path) == (2, "https://host/a b.wav")
