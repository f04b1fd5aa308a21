"""What each worker of a training run does, with Ray or without: open the data, make the task, fit."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from uss_ray.pipelines.training.checkpoints import choose_checkpoint, read_checkpoint
from uss_ray.pipelines.training.prepared import Prepared
from uss_ray.pipelines.training.request import TaggerTraining, Training
from uss_ray.pipelines.training.run_folder import best_validated, told_at
from uss_ray.pipelines.training.scores import told
from uss_ray.pipelines.training.separator import prepare_separator
from uss_ray.pipelines.training.tagger import prepare_tagger
from uss_ray.separation.memory import keep_freed_memory
from uss_ray.training.fit import Fit, TrainingState
from uss_ray.training.plan import lanes_of_worker
from uss_ray.training.world import World


def prepare(request: Training, *, device: torch.device) -> Prepared[Any]:
    """Open data and networks, and check that they fit each other.

    Raises
    ------
    UssRayError
        If they do not: before any work.
    """
    if isinstance(request, TaggerTraining):
        return prepare_tagger(request, device=device)
    return prepare_separator(request, device=device)


def fit(
    prepared: Prepared[Any],
    *,
    world: World,
    is_stopping: Callable[[], bool] = lambda: False,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """Train this worker's lanes to the end; give the steps that are done.

    A validation is said to begin, and what it found. One during which the run is to stop is left, and made up for when
    the run goes on.
    """
    keep_freed_memory()  # an eighth of a step was page faults
    run = Fit(
        prepared.task,
        settings=prepared.settings,
        lanes=lanes_of_worker(prepared.lanes, worker=world.rank, workers=world.size),
        lane_count=prepared.lanes,
        keeper=prepared.folder,
        device=prepared.task.device,
        world=world,
    )
    validation, folder = prepared.validation, prepared.folder
    if world.is_first and run.step < prepared.settings.steps:
        folder.add_hardware(run.step, workers=world.size, kind=_kind_of(prepared.task.device))

    def validate(state: TrainingState) -> bool:
        if validation is None or not validation.is_due(state.step):
            return True
        say(f"step {state.step}: scoring on {validation.size}")
        if not validation.score(state, world=world, is_stopping=is_stopping):
            return False
        if world.is_first:
            say(f"step {state.step}: {told(folder.last_validation)}")
        return True

    is_validated = validation is None or folder.is_validated(run.step, on=validation.measured_on)
    # Killed between a checkpoint and its validation, or scored on something else before.
    if run.step and not is_validated and not validate(run.state()):
        return run.step
    return run.run(is_stopping=is_stopping, on_step=on_step, on_checkpoint=validate)


def export(request: Training, output: Path, *, step: int | None = None, best: bool = False) -> Path:
    """Write the weights folder of a run's checkpoint: that of a step, the best validated one, or the last.

    Raises
    ------
    UssRayError
        If there is no such checkpoint, or data or weights are not there any more.
    """
    recipe = request.recipe.replace(fit=request.recipe.fit.replace(compiled=False))  # some forwards only
    prepared = prepare(request.replace(recipe=recipe), device=torch.device("cpu"))
    prepared.folder.check(without="recipe.fit.compiled")
    if best:
        step = best_validated(request.run_store)
    _, state = read_checkpoint(choose_checkpoint(request.run_store, step))
    facts = told_at(request.run_store, state.step)
    if request.licence is not None:
        facts["licence"] = request.licence
    return prepared.export(state, output, told=facts)


def _kind_of(device: torch.device) -> str:
    """Name what a worker computes on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    names = [line for line in _cpu_facts() if line.startswith("model name")]
    name = names[0].partition(":")[2].strip() if names else platform.machine()
    return f"{torch.get_num_threads()} of {os.cpu_count()} cores, {name}"


def _cpu_facts() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
