from __future__ import annotations

from typing import Any

import pytest

from uss_ray.pipelines.serving.metrics import CallMetrics


def test_a_call_is_counted_by_what_it_was_and_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Meter:
        def __init__(self, name: str, **_: Any) -> None:
            self.name = name

        def inc(self, value: float, tags: dict[str, str]) -> None:
            seen.append((self.name, value, tags))

        observe = inc

    monkeypatch.setattr("ray.serve.metrics.Counter", Meter)
    monkeypatch.setattr("ray.serve.metrics.Histogram", Meter)
    CallMetrics()({"call": "GET /v1/info", "status": 200, "seconds": 0.5, "bytes": 0})
    assert seen == [
        ("uss_ray_calls", 1, {"call": "GET /v1/info", "status": "200"}),
        ("uss_ray_call_seconds", 0.5, {"call": "GET /v1/info"}),
    ]
