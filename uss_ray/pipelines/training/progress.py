"""How far a training run is, from its files alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uss_ray.pipelines.training.checkpoints import checkpoint_name, find_checkpoints, step_of
from uss_ray.pipelines.training.request import read_request
from uss_ray.pipelines.training.run_folder import (
    BAD_BATCH_PREFIX,
    METRICS_NAME,
    VALIDATIONS_NAME,
    best_validated,
    read_lines,
)
from uss_ray.pipelines.training.scores import comparable
from uss_ray.store.lease import Lease, holders_of
from uss_ray.store.store import Store

_LINES = 20


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """A look at a run.

    Parameters
    ----------
    name : str
        Of the weights.
    step, steps : int
        Done, by the last line or a checkpoint after it, and in all. Where nobody trains, what was done after the last
        checkpoint is lost.
    told : int
        Step of the last line.
    curve : sequence of mapping
        Lines of the metrics, evenly over the run, the last among them.
    validations : sequence of mapping
        Those on what the last one was measured on, oldest first.
    otherwise : int
        Validations on other lists, by another query or on other clips; they say nothing beside these.
    best : int or None
        Step of the best one.
    state : str
        What is being done, or why it is not, in a line.
    """

    name: str
    step: int
    steps: int
    told: int
    curve: Sequence[Mapping[str, Any]]
    validations: Sequence[Mapping[str, Any]]
    otherwise: int
    best: int | None
    state: str


def look_at(run: Store) -> RunProgress:
    """Look at a run.

    Raises
    ------
    DataError
        If there is none.
    """
    request = read_request(run)
    lines = read_lines(run / METRICS_NAME)
    validations = read_lines(run / VALIDATIONS_NAME)
    shown = comparable(validations)
    every = max(1, -(-len(lines) // _LINES))
    curve = lines[::-1][::every][::-1]
    found = find_checkpoints(run)
    kept = step_of(found[-1]) if found else None
    told = lines[-1]["step"] if lines else 0
    holders = holders_of(run)
    # A run that is stopped keeps its state between two lines; one that died has told of steps that are done again.
    step = max(told, kept or 0) if holders else kept or 0
    steps = request.recipe.fit.steps
    return RunProgress(
        name=request.recipe.name,
        step=step,
        steps=steps,
        told=told,
        curve=curve,
        validations=shown,
        otherwise=len(validations) - len(shown),
        best=best_validated(run) if validations else None,
        state=_state(run, lines, holders=holders, kept=kept, step=step, steps=steps),
    )


def _state(
    run: Store,
    lines: Sequence[Mapping[str, Any]],
    *,
    holders: Sequence[Lease],
    kept: int | None,
    step: int,
    steps: int,
) -> str:
    checkpoint = "no checkpoint yet" if kept is None else f"last checkpoint {checkpoint_name(kept)}"
    bad = sorted(
        place.name
        for place in run.list()
        if place.name.startswith(BAD_BATCH_PREFIX) and place.name.endswith(".json")
    )
    if bad and int(bad[-1].removeprefix(BAD_BATCH_PREFIX).split("-")[0]) >= step:
        return f"Stopped at a loss that is not finite ({bad[-1]}); {checkpoint}."
    if kept == steps:
        return f"Finished; {checkpoint}."
    if not holders:
        return f"Nobody trains it: the same command goes on at step {kept or 0}; {checkpoint}."
    told = (
        f"its last line is {max(0.0, time.time() - lines[-1]['at']):.0f} s old"
        if lines and "at" in lines[-1]
        else "no line yet"
    )
    return f"Trained by {holders[0].holder()}; {told}; {checkpoint}."
