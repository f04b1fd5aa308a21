"""Workers of a training run that something happens to at a certain step, whatever the pace of the machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray.train

from uss_ray.pipelines.training import job

_LOOK_SECONDS = 0.05


def work_and_die_once(at_step: int, died: Path, config: Mapping[str, Any]) -> None:
    """Train, and kill the last worker's process the first time that it tells of a step."""

    def die(step: int) -> None:
        if step >= at_step and not died.exists() and _is_last():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    _work(config, at_step=die)


def work_until_lost(at_step: int, lost: Path, config: Mapping[str, Any]) -> None:
    """Train, and wait at a step of two workers until one of their machines is lost."""

    def wait(step: int) -> None:
        while step >= at_step and ray.train.get_context().get_world_size() > 1 and not lost.exists():
            time.sleep(_LOOK_SECONDS)

    _work(config, at_step=wait)


def _is_last() -> bool:
    context = ray.train.get_context()
    return context.get_world_rank() == context.get_world_size() - 1


def _work(config: Mapping[str, Any], *, at_step: Callable[[int], None]) -> None:
    train = job.fit

    def fit(*arguments: Any, **options: Any) -> int:
        return train(*arguments, on_step=lambda step, _: at_step(step), **options)

    job.fit = fit
    try:
        job._work(config)
    finally:
        job.fit = train
