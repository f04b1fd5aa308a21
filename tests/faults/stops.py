"""When the workers of a run can know that it is to stop: what begins after that begins in spite of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from uss_ray.pipelines.runtime.stopping import StopRequest


def noting_stops(told: Path) -> Callable[..., None]:
    """Make an initialiser of `StopRequest` that leaves a file once the workers' state has been told of a signal."""
    begin = StopRequest.__init__

    def begin_and_note(self: StopRequest, on_stop: Callable[[], Any] = lambda: None) -> None:
        def stop_and_note() -> None:
            on_stop()
            told.touch()

        begin(self, stop_and_note)

    return begin_and_note
