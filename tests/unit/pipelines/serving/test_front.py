from __future__ import annotations

from types import SimpleNamespace

import pytest

from uss_ray.errors import ConfigError
from uss_ray.pipelines.serving import front
from uss_ray.pipelines.serving.front import Front
from uss_ray.service.settings import ServiceSettings

OPEN = ServiceSettings(no_auth=True)


@pytest.mark.parametrize(("host", "is_refused"), [("127.0.0.1", False), ("0.0.0.0", True), ("", True)])
def test_without_tokens_a_front_starts_at_a_loopback_address_alone(
    monkeypatch: pytest.MonkeyPatch, host: str, is_refused: bool
) -> None:
    client = SimpleNamespace(http_config=SimpleNamespace(host=host))
    monkeypatch.setattr(front, "_get_global_client", lambda: client)
    if is_refused:
        with pytest.raises(ConfigError, match="loopback"):
            Front(OPEN, None)
    else:
        Front(OPEN, None)
