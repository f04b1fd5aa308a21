from __future__ import annotations

import socket
from typing import Any

import pytest

from uss_ray.errors import ConfigError
from uss_ray.pipelines.serving import running as module
from uss_ray.pipelines.serving.options import Serving
from uss_ray.pipelines.serving.running import free_port, running, serve_lightly


def test_serve_is_started_where_it_is_told_and_ended_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.setattr(module.serve, "start", lambda http_options, **_: done.append(http_options))
    monkeypatch.setattr(module.serve, "run", lambda *_, **named: done.append(named["name"]))
    monkeypatch.setattr(module.serve, "shutdown", lambda: done.append("ended"))
    with running(Serving.of({"service": {"no_auth": True, "port": 0}})) as url:
        port = int(url.removeprefix("http://127.0.0.1:"))
    assert done == [{"host": "127.0.0.1", "port": port}, "uss-ray", "ended"]


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"):
            free_port("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        free_port("192.0.2.1", 0)


def test_two_services_with_haproxy_have_no_port_of_a_front_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    """HAProxy is told of a port before its front has it, and would hand on calls to the other service."""
    monkeypatch.setattr(module.os, "environ", environ := {"RAY_SERVE_ENABLE_HA_PROXY": "1"})
    found = []
    for port in (8000, 8001, 43567):
        for name in [name for name in environ if "DIRECT_INGRESS" in name]:
            del environ[name]
        serve_lightly(port)
        first, last = (int(environ[f"RAY_SERVE_DIRECT_INGRESS_{end}_HTTP_PORT"]) for end in ("MIN", "MAX"))
        assert 1024 < first < last < 65536
        found.append(range(first, last + 1))
    assert len(set().union(*found)) == sum(map(len, found))


def test_what_somebody_has_chosen_stays_and_without_haproxy_no_port_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module.os, "environ", environ := {"MALLOC_ARENA_MAX": "4"})
    serve_lightly(8000)
    assert environ == module.LIGHT_SERVE | {"MALLOC_ARENA_MAX": "4"}
