"""Plain values that lead to a store, and never a secret among them."""

from __future__ import annotations

import os
import pickle

import pytest

from uss_ray.errors import ConfigError
from uss_ray.store.access import StorageAccess
from uss_ray.store.patience import patience_seconds
from uss_ray.store.systems import file_system


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://me:geheim@store.example",
        "https://geheim@store.example:9000",
        "me:geheim@store.example",
        "https://store.example/?key=geheim",
        "https://me:ge@geheim@store.example",
    ],
)
def test_an_endpoint_with_credentials_is_refused_without_repeating_them(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="AWS_SECRET_ACCESS_KEY") as caught:
        StorageAccess(endpoint=endpoint)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["", "store.example:9000", "ftp://store.example", "http://", "http://store:port"]
)
def test_an_endpoint_that_is_no_web_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"storage endpoint: expected http://host:port"):
        StorageAccess(endpoint=endpoint)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="storage profile"):
        StorageAccess(profile="")
    with pytest.raises(ConfigError, match="storage region"):
        StorageAccess(region="")


def test_every_field_reaches_the_environment_and_twice_is_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REQUEST_CHECKSUM_CALCULATION")
    access = StorageAccess(endpoint="https://store.example:9000", profile="archive", region="eu-north-1")
    access.apply()
    after = dict(os.environ)
    assert after["AWS_ENDPOINT_URL"] == "https://store.example:9000"
    assert after["AWS_PROFILE"] == "archive"
    assert after["AWS_DEFAULT_REGION"] == "eu-north-1"
    assert after["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_required"
    access.apply()
    assert dict(os.environ) == after


def test_a_patience_that_is_no_time_is_refused() -> None:
    for wrong in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="storage patience"):
            StorageAccess(patience_seconds=wrong)


def test_what_one_access_has_set_another_takes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "everyday")
    monkeypatch.delenv("USS_RAY_STORAGE_PATIENCE_SECONDS")
    StorageAccess(profile="archive", region="eu-north-1", patience_seconds=1.5).apply()
    assert os.environ["AWS_PROFILE"] == "archive"
    assert patience_seconds() == 1.5
    os.environ["AWS_DEFAULT_REGION"] = "us-west-2"  # somebody else's
    StorageAccess().apply()
    assert os.environ["AWS_PROFILE"] == "everyday"
    assert patience_seconds() == 300
    assert os.environ["AWS_DEFAULT_REGION"] == "us-west-2"


def test_what_is_not_given_is_left_to_the_environment() -> None:
    before = dict(os.environ)
    StorageAccess().apply()
    assert dict(os.environ) == before


def test_an_endpoint_wins_over_the_one_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://other.example")
    monkeypatch.setenv("AWS_REGION", "us-west-1")
    StorageAccess(endpoint="https://store.example", region="eu-north-1").apply()
    assert os.environ["AWS_ENDPOINT_URL_S3"] == "https://store.example"
    assert os.environ["AWS_REGION"] == "eu-north-1"


def test_clients_are_made_anew_for_another_endpoint() -> None:
    pytest.importorskip("s3fs")
    StorageAccess(endpoint="https://one.example").apply()
    one, _ = file_system("s3://bucket/a")
    assert file_system("s3://bucket/b")[0] is one
    StorageAccess(endpoint="https://two.example").apply()
    assert file_system("s3://bucket/a")[0] is not one


def test_it_travels_to_workers() -> None:
    access = StorageAccess(endpoint="https://store.example", region="eu-north-1")
    assert pickle.loads(pickle.dumps(access)) == access  # noqa: S301
