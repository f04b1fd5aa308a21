"""One run of an ablation: trained in this process, and told of however it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable

from uss_ray.errors import OutputError, UssRayError
from uss_ray.pipelines.training.ablation_request import Arm
from uss_ray.pipelines.training.ablation_table import RunOutcome
from uss_ray.pipelines.training.checkpoints import find_checkpoints, step_of
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.request import read_request, shaping
from uss_ray.pipelines.training.run_folder import METRICS_NAME, VALIDATIONS_NAME, read_lines
from uss_ray.pipelines.training.scores import comparable
from uss_ray.pipelines.training.separator import DoneBefore

_log = logging.getLogger(__name__)


def run_arm(arm: Arm, *, is_stopping: Callable[[], bool]) -> RunOutcome:
    """Run an arm and tell how it ended.

    Raises
    ------
    OutputError
        If its folder cannot be written, for then nor can those of others.
    """
    try:
        train_here(arm.training, is_stopping=is_stopping)
    except OutputError:
        raise
    except (UssRayError, RuntimeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        _log.info("arm %s, seed %d", arm.name, arm.seed, exc_info=error)
        return failure(arm, error)
    return finished_run(arm, DoneBefore()) or RunOutcome(
        arm=arm.name, seed=arm.seed, state="stopped", step=_step(arm)
    )


def failure(arm: Arm, error: Exception) -> RunOutcome:
    """Tell of a run that failed."""
    text = " ".join(str(error).split()) or type(error).__name__
    return RunOutcome(arm=arm.name, seed=arm.seed, state="failed", step=_step(arm), error=text)


def finished_run(arm: Arm, done_before: DoneBefore) -> RunOutcome | None:
    """Tell how a run ended, if it is at its end, and scored.

    One of another recipe, or of other anchors, weights or classes, is no such run: it is refused where it would go on.
    One that was scored on something else is scored again there.
    """
    run, steps = arm.training.run_store, arm.training.recipe.fit.steps
    lines = comparable(read_lines(run / VALIDATIONS_NAME))
    scored = [line for line in lines if line["step"] == steps]
    if not scored or _step(arm) != steps:
        return None
    if shaping(read_request(run).recipe) != shaping(arm.training.recipe):
        return None
    try:
        if done_before.differences(arm.training, scored[-1]):
            return None
        measured_on = done_before.measured_on(arm.training, scored[-1])
    except UssRayError as error:
        _log.info("arm %s, seed %d", arm.name, arm.seed, exc_info=error)
        return None  # training names what is missing
    metrics = read_lines(run / METRICS_NAME)
    return RunOutcome(
        arm=arm.name,
        seed=arm.seed,
        state="finished",
        step=steps,
        sdri_db=scored[-1]["sdri_db"],
        loss=metrics[-1]["loss"] if metrics else None,
        measured_on=measured_on,
    )


def _step(arm: Arm) -> int:
    found = find_checkpoints(arm.training.run_store)
    return step_of(found[-1]) if found else 0
