"""What a monitoring system sees of a front: calls, their time and their bytes, on the port of the node's metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.serve import metrics

_SECONDS = [0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0]


class CallMetrics:
    """Counts calls by what was asked for and how it was answered."""

    def __init__(self) -> None:
        by_status: Any = ("call", "status")  # Ray states a tuple of one
        self._calls = metrics.Counter(
            "uss_ray_calls_total", description="Calls that were answered.", tag_keys=by_status
        )
        self._seconds = metrics.Histogram(
            "uss_ray_call_seconds", description="How long they took.", boundaries=_SECONDS, tag_keys=("call",)
        )
        self._bytes = metrics.Counter(
            "uss_ray_call_bytes_total", description="Bytes that came.", tag_keys=("call",)
        )

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Count one call, by its line in the audit."""
        call = {"call": line["call"]}
        self._calls.inc(1, {**call, "status": str(line["status"])})
        self._seconds.observe(max(line["seconds"], 1e-6), call)
        if line["bytes"]:
            self._bytes.inc(line["bytes"], call)
