from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from uss_ray.pipelines.serving.metrics import CallMetrics

ROOT = Path(__file__).parents[4]


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
        ("uss_ray_calls_total", 1, {"call": "GET /v1/info", "status": "200"}),
        ("uss_ray_call_seconds", 0.5, {"call": "GET /v1/info"}),
    ]


def test_the_dashboard_asks_for_what_is_counted() -> None:
    import uss_ray.pipelines.serving.metrics as module

    text = (ROOT / "deploy" / "grafana-service.json").read_text(encoding="utf-8")
    queries = [target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]]
    asked = {
        name.removesuffix("_bucket") for query in queries for name in re.findall(r"ray_(uss_ray_\w+)", query)
    }
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert asked == set(re.findall(r'"(uss_ray_\w+)"', source))
