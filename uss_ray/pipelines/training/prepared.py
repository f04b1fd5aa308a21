"""A training run that can begin, whatever it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from uss_ray.pipelines.training.run_folder import RunFolder
from uss_ray.training.fit import Task, TrainingState
from uss_ray.training.recipe import FitSettings
from uss_ray.training.world import World

B = TypeVar("B")


class Validation(Protocol):
    """Scores a run."""

    @property
    def measured_on(self) -> Mapping[str, Any]:
        """What it scores on, as its lines say it."""
        ...

    def is_due(self, step: int) -> bool:
        """Whether a state of that step is scored."""
        ...

    @property
    def size(self) -> str:
        """How much it scores on, in words."""
        ...

    def score(self, state: TrainingState, *, world: World, is_stopping: Callable[[], bool]) -> bool:
        """Score a state and leave what was found in the run's folder; called on every worker.

        Gives False, on all of them, where one was to stop: nothing is left then.
        """
        ...


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
        Given a state, a folder, and `told`, what a run tells of it: writes its weights; the networks of the task are
        overwritten.
    load_data : callable, optional
        Brings into memory what is kept there; whoever trains calls it first.
    validation : Validation, optional
        What the run is scored on.
    """

    task: Task[B]
    settings: FitSettings
    lanes: int
    folder: RunFolder
    export: Callable[..., Path]
    load_data: Callable[[], None] = lambda: None
    validation: Validation | None = None
