"""What each worker of a training run does, with Ray or without: open the data, make the task, fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from uss_ray.pipelines.training.checkpoints import choose_checkpoint, read_checkpoint
from uss_ray.pipelines.training.prepared import Prepared
from uss_ray.pipelines.training.request import TaggerTraining, Training
from uss_ray.pipelines.training.run_folder import best_validated
from uss_ray.pipelines.training.separator import prepare_separator
from uss_ray.pipelines.training.tagger import prepare_tagger
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
) -> int:
    """Train this worker's lanes to the end; give the steps that are done."""
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

    def validate(state: TrainingState) -> None:
        if validation is not None and validation.is_due(state.step):
            validation.score(state, world=world)

    if run.step and run.step not in folder.validated_steps:
        validate(run.state())  # killed between a checkpoint and its validation
    return run.run(is_stopping=is_stopping, on_step=on_step, on_checkpoint=validate)


def export(request: Training, output: Path, *, step: int | None = None, best: bool = False) -> Path:
    """Write the weights folder of a run's checkpoint: that of a step, the best validated one, or the last.

    Raises
    ------
    UssRayError
        If there is no such checkpoint, or data or weights are not there any more.
    """
    prepared = prepare(request, device=torch.device("cpu"))
    if best:
        step = best_validated(request.run_store)
    _, state = read_checkpoint(choose_checkpoint(request.run_store, step))
    return prepared.export(state, output)
