"""What speaks HTTP, as a replica of Ray Serve; without torch, so that one that died is soon there again."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from ray.serve.context import _get_global_client

from uss_ray.errors import ConfigError
from uss_ray.pipelines.serving.keeper import RayKeeping
from uss_ray.pipelines.serving.metrics import CallMetrics
from uss_ray.pipelines.serving.ray_backend import RayBackend
from uss_ray.service.app import create_app
from uss_ray.service.gate import write_audit
from uss_ray.service.settings import ServiceSettings, is_loopback


class Front:
    """Speaks HTTP.

    Parameters
    ----------
    settings : ServiceSettings
    separators : DeploymentHandle
    keeper : DeploymentHandle or None
        None where there is no store, and so no job.

    Raises
    ------
    ConfigError
        If nobody needs a token, and others than this machine reach the address.
    """

    def __init__(self, settings: ServiceSettings, separators: Any, keeper: Any = None) -> None:
        if settings.no_auth:
            _check_loopback()
        self._settings = settings
        self._separators = separators
        self._keeper = keeper

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Make what answers."""
        write_audit()
        keeping = None if self._keeper is None else RayKeeping(self._keeper)
        return create_app(
            RayBackend(self._separators), self._settings, keeping=keeping, observe=CallMetrics()
        )


def _check_loopback() -> None:
    client: Any = _get_global_client()
    host = client.http_config.host or "all"
    if not is_loopback(host):
        raise ConfigError("service", expected="tokens, or Serve at a loopback address", found=host)
