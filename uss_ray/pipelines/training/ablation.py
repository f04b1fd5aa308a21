"""Run the arms of an ablation: in this process one after another, or on Ray some at a time.

Each arm is a run like any other, in a folder of its own: one that is finished is not run again, one that was
interrupted goes on from its checkpoint, and one that fails is told of and does not end the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from uss_ray.pipelines.training.ablation_arm import finished_run, run_arm
from uss_ray.pipelines.training.ablation_request import AblationOptions, AblationRequest, Arm, arms_of
from uss_ray.pipelines.training.ablation_table import (
    ArmSummary,
    RunOutcome,
    summarise,
    to_json,
    to_markdown,
)
from uss_ray.pipelines.training.separator import DoneBefore
from uss_ray.store.store import Store

TABLE_NAME, RESULT_NAME = "ablation.md", "ablation.json"


def ablate(
    request: AblationRequest,
    options: AblationOptions,
    *,
    is_stopping: Callable[[], bool] = lambda: False,
    on_run: Callable[[RunOutcome], None] = lambda _: None,
) -> list[ArmSummary]:
    """Run all arms, or those that an earlier call left.

    Parameters
    ----------
    request : AblationRequest
    options : AblationOptions
    is_stopping : callable, optional
        Where it is true, runs end with a checkpoint and no other begins.
    on_run : callable, optional
        Told how each run ended.

    Returns
    -------
    list of ArmSummary
        As in the table that is written.

    Raises
    ------
    ConfigError
        If an arm is not what it should be: before any of them runs.
    OutputError
        If the output cannot be written.
    """
    arms = arms_of(request)
    names = list(dict.fromkeys(arm.name for arm in arms))
    done_before = DoneBefore()
    outcomes = {
        (arm.name, arm.seed): told for arm in arms if (told := finished_run(arm, done_before)) is not None
    }
    left = [arm for arm in arms if (arm.name, arm.seed) not in outcomes]
    summaries = _write(request.output_store, outcomes.values(), names)
    for outcome in _run(left, options, is_stopping=is_stopping):
        outcomes[outcome.arm, outcome.seed] = outcome
        on_run(outcome)
        summaries = _write(request.output_store, outcomes.values(), names)
    return summaries


def _run(
    arms: Sequence[Arm], options: AblationOptions, *, is_stopping: Callable[[], bool]
) -> Iterator[RunOutcome]:
    if options.workers and arms:
        from uss_ray.pipelines.training.ablation_on_ray import (
            run_on_ray,  # without workers there need be no Ray
        )

        yield from run_on_ray(arms, options, is_stopping=is_stopping)
        return
    for arm in arms:
        if is_stopping():
            return
        yield run_arm(arm, is_stopping=is_stopping)


def _write(output: Store, outcomes: Iterable[RunOutcome], names: Sequence[str]) -> list[ArmSummary]:
    told = sorted(outcomes, key=lambda outcome: (names.index(outcome.arm), outcome.seed))
    summaries = summarise(told, names)
    (output / RESULT_NAME).put(to_json(summaries, told).encode())
    (output / TABLE_NAME).put(to_markdown(summaries, told).encode())
    return summaries
