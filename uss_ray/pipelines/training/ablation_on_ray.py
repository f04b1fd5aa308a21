"""Run arms of an ablation on Ray, some at a time; a run whose worker dies goes on elsewhere from its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import ray

from uss_ray.config import absolute
from uss_ray.errors import OutputError
from uss_ray.pipelines.runtime.run_state import StopSign, end_run_state, start_run_state
from uss_ray.pipelines.runtime.session import ray_session
from uss_ray.pipelines.runtime.stages import own_error
from uss_ray.pipelines.training.ablation_arm import failure, run_arm
from uss_ray.pipelines.training.ablation_request import AblationOptions, Arm
from uss_ray.pipelines.training.ablation_table import RunOutcome

_RETRIES = 3
_LOOK_SECONDS = 1.0


def run_on_ray(
    arms: Sequence[Arm], options: AblationOptions, *, is_stopping: Callable[[], bool]
) -> Iterator[RunOutcome]:
    """Run arms and tell how each ended, in the order in which they end.

    Raises
    ------
    OutputError
        If a folder cannot be written.
    """
    waiting = list(arms)
    with ray_session(options.address, verbose=options.verbose):
        state = start_run_state()
        running: dict[Any, Arm] = {}
        has_stopped = False
        try:
            while waiting or running:
                if is_stopping() and not has_stopped:
                    has_stopped = True
                    waiting.clear()
                    ray.get(state.stop.remote())
                while waiting and len(running) < options.workers:
                    arm = waiting.pop(0)
                    running[_submit(arm, options, state)] = arm
                if not running:
                    break
                done, _ = ray.wait(list(running), timeout=_LOOK_SECONDS)
                for reference in done:
                    arm = running.pop(reference)
                    try:
                        yield ray.get(reference)
                    except Exception as error:
                        known = own_error(error)
                        if isinstance(known, OutputError):
                            raise known from error
                        yield failure(arm, known)
        finally:
            if running:
                state.stop.remote()  # who asks for no more must not hold the cluster
            else:
                end_run_state(state)


def _submit(arm: Arm, options: AblationOptions, state: Any) -> Any:
    gpus = 1 if arm.training.device != "cpu" and ray.cluster_resources().get("GPU", 0) else 0
    task = ray.remote(num_cpus=options.cpus_per_worker, num_gpus=gpus, max_retries=_RETRIES)(_run_arm)
    return task.remote(replace(arm, training=absolute(arm.training)), state)


def _run_arm(arm: Arm, state: Any) -> RunOutcome:
    return run_arm(arm, is_stopping=StopSign(state).__bool__)
