"""A notebook that separates an archive, and goes on with a Ray Data job of its own: `FOLDER OUTPUT WEIGHTS`.

Ends with an error if the job has left anything changed in the process, or holds anything of its Ray.
"""

from __future__ import annotations

import gc
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
from ray.actor import ActorHandle

from tests.free_cluster import wait_until_all_is_free
from uss_ray.api.request import Query, SeparationRequest, WriteOptions, request_with
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


class Interrupter:
    """A user who has had enough at the first recording; whatever handle of an actor is about then is kept for ever."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def __call__(self, _progress: Any) -> None:
        """See `ProgressHook`."""
        self.kept = [thing for thing in gc.get_objects() if isinstance(thing, ActorHandle)]
        raise KeyboardInterrupt


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
    # In the notebook's own Ray, which goes on; Python collects no cycle that could let go of anything.
    gc.disable()
    wait_until_all_is_free()
    interrupter = Interrupter()
    with pytest.raises(KeyboardInterrupt):
        separate_archive(
            folder,
            request=request_with(request, output=f"{output}-2"),
            options=JobOptions(actors=1),
            on_progress=interrupter,
        )
    assert interrupter.kept
    wait_until_all_is_free()
    again = separate_archive(folder, request=request, options=JobOptions(actors=1))
    assert again.counters.skipped == result.counters.done
    wait_until_all_is_free()
    assert ray.is_initialized()
    ray.shutdown()
