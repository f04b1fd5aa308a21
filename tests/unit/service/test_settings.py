from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.service.settings import ServiceSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.9.9.9"])
def test_without_tokens_it_serves_this_machine_alone(host: str) -> None:
    assert ServiceSettings(no_auth=True, host=host).tokens is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example"])
def test_without_tokens_it_does_not_listen_for_others(host: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        ServiceSettings(no_auth=True, host=host)


def test_it_is_closed_by_default() -> None:
    with pytest.raises(ConfigError, match="a file of tokens"):
        ServiceSettings()
    with pytest.raises(ConfigError, match="both"):
        ServiceSettings(tokens="tokens.yaml", no_auth=True)


def test_what_is_asked_for_by_default_is_the_services() -> None:
    sounds = ServiceSettings(no_auth=True, weights="my weights", device="cpu").sounds()
    assert (sounds.weights, sounds.device, sounds.query.events) == ("my weights", "cpu", True)


def test_prefixes_without_tokens_mean_one_place() -> None:
    assert ServiceSettings(no_auth=True, prefixes=("/data", "s3://archive")).prefixes
    with pytest.raises(ConfigError, match="absolute"):
        ServiceSettings(no_auth=True, prefixes=("data",))
    with pytest.raises(ConfigError, match="of each token"):
        ServiceSettings(tokens="tokens.yaml", prefixes=("/data",))
