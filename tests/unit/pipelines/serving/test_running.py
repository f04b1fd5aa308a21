from __future__ import annotations

from typing import Any

import pytest

from uss_ray.pipelines.serving import running as module
from uss_ray.pipelines.serving.options import Serving
from uss_ray.pipelines.serving.running import running


def test_serve_is_started_where_it_is_told_and_ended_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.setattr(module.serve, "start", lambda http_options: done.append(http_options))
    monkeypatch.setattr(module.serve, "run", lambda *_, **named: done.append(named["name"]))
    monkeypatch.setattr(module.serve, "shutdown", lambda: done.append("ended"))
    with running(Serving.of({"service": {"no_auth": True, "port": 81}})) as url:
        assert url == "http://127.0.0.1:81"
    assert done == [{"host": "127.0.0.1", "port": 81}, "uss-ray", "ended"]
