"""A training run that can begin, whatever it trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from uss_ray.pipelines.training.run_folder import RunFolder
from uss_ray.training.fit import Task, TrainingState
from uss_ray.training.recipe import FitSettings

B = TypeVar("B")


@dataclass(frozen=True, eq=False)
class Prepared(Generic[B]):
    """A run that can begin.

    Parameters
    ----------
    task : Task
    settings : FitSettings
    lanes : int
        Of all workers.
    folder : RunFolder
        Not yet opened.
    export : callable
        Writes the weights folder of a state; the networks of the task are overwritten.
    load_data : callable, optional
        Brings into memory what the task keeps there; whoever trains calls it first.
    """

    task: Task[B]
    settings: FitSettings
    lanes: int
    folder: RunFolder
    export: Callable[[TrainingState, Path], Path]
    load_data: Callable[[], None] = lambda: None
