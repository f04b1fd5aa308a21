"""Plain values that lead to a store, and never a secret among them."""

from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.store.options import StoreOptions


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
        StoreOptions(endpoint=endpoint)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["", "store.example:9000", "ftp://store.example", "http://", "http://store:port"]
)
def test_an_endpoint_that_is_no_web_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"store options endpoint: expected http://host:port"):
        StoreOptions(endpoint=endpoint)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="store options profile"):
        StoreOptions(profile="")
    with pytest.raises(ConfigError, match="store options region"):
        StoreOptions(region="")


def test_a_patience_that_is_no_time_is_refused() -> None:
    for wrong in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="store options patience"):
            StoreOptions(patience_seconds=wrong)
