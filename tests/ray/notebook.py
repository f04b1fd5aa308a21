"""A notebook that separates an archive, and goes on with a Ray Data job of its own: `FOLDER OUTPUT WEIGHTS`.

Ends with an error if the job has left anything changed in the process.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from dataclasses import asdict
from typing import Any

import pytest
import ray
import ray.data

from uss_ray.api.request import Query, SeparationRequest, WriteOptions
from uss_ray.pipelines.archive.job import separate_archive
from uss_ray.pipelines.runtime.options import JobOptions

LOGGERS = ("", "ray", "ray.data", "uss_ray")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def state_of_process() -> dict[str, Any]:
    """Tell all that a job might change."""
    return {
        "context": asdict(ray.data.DataContext.get_current()),
        "environment": dict(os.environ),
        "loggers": {
            name: (logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in LOGGERS
        },
        "signals": {number: signal.getsignal(number) for number in SIGNALS},
        "warnings": [rule for rule in warnings.filters if "Ray" in rule[2].__name__],
    }


def fail_on_five(row: dict[str, Any]) -> dict[str, Any]:
    """Fail in one block."""
    if row["id"] == 5:
        raise ValueError("row 5")
    return row


if __name__ == "__main__":
    folder, output, weights = sys.argv[1:]
    request = SeparationRequest(
        output=output, query=Query(levels=(1,)), weights=weights, write=WriteOptions(report=False)
    )
    before = state_of_process()
    result = separate_archive(folder, request=request, options=JobOptions(actors=1))
    assert result.exit_code == 0
    after = state_of_process()
    for name, value in before.items():
        assert after[name] == value, f"{name}: {value} became {after[name]}"

    os.environ["RAY_AUTH_MODE"] = "disabled"
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100 << 20)
    with pytest.raises(Exception, match="row 5"):  # of whatever kind Ray wraps it in
        ray.data.range(10, override_num_blocks=10).map(fail_on_five).materialize()
    again = separate_archive(
        folder, request=request, options=JobOptions(actors=1)
    )  # in the notebook's own Ray
    assert again.counters.skipped == result.counters.done
    assert ray.is_initialized()
    ray.shutdown()
