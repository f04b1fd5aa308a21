"""What an ablation found: an arm's mean over its seeds with its interval, and how far it lies from the base."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from uss_ray.pipelines.training.ablation_request import BASE_ARM

# Two-sided 95 % points of Student's t for 1, 2, … degrees of freedom; beyond, its expansion about that of the normal
# distribution is right to four digits.
_T = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
)
_NORMAL = 1.959964
# What a score was measured on, in words.
_PARTS = {"list_sha256": "list", "segment_seconds": "length of segments", "sample_rate": "sample rate"}


class RunOutcome(BaseModel):
    """How a run of an ablation ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arm: str
    seed: int
    state: Literal["finished", "stopped", "failed"]
    step: int = Field(description="Steps that are done.")
    sdri_db: float | None = Field(default=None, description="Of its last state.")
    loss: float | None = Field(default=None, description="Mean of the last line of its metrics.")
    measured_on: dict[str, Any] = Field(
        default={}, description="List and query of its score, and length and rate of what was separated."
    )
    error: str | None = None


class ArmSummary(BaseModel):
    """An arm over its seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arm: str
    finished: int
    failed: int
    sdri_db: float | None = Field(description="Mean over the finished seeds.")
    half_width_db: float | None = Field(description="Of its 95 % interval (Student's t); needs two seeds.")
    difference_db: float | None = Field(
        description="Mean over the seeds that the base has finished too; none where a score is of something else."
    )
    difference_half_width_db: float | None
    measured_otherwise: tuple[str, ...] = Field(
        default=(), description="What its scores were measured on that is not the base's."
    )
    loss: float | None


def summarise(outcomes: Sequence[RunOutcome], names: Sequence[str]) -> list[ArmSummary]:
    """Sum up the arms of those names, in their order."""
    scores = {
        name: {
            outcome.seed: outcome.sdri_db
            for outcome in outcomes
            if outcome.arm == name and outcome.state == "finished" and outcome.sdri_db is not None
        }
        for name in names
    }
    base = scores.get(BASE_ARM, {})
    measured_on = {(outcome.arm, outcome.seed): outcome.measured_on for outcome in outcomes}
    summaries = []
    for name in names:
        own = scores[name]
        seeds = [seed for seed in own if seed in base and name != BASE_ARM]
        otherwise = sorted(
            {part for seed in seeds for part in _others(measured_on[name, seed], measured_on[BASE_ARM, seed])}
        )
        differences = [] if otherwise else [own[seed] - base[seed] for seed in seeds]
        mean, half_width = mean_and_interval(list(own.values()))
        difference, difference_half_width = mean_and_interval(differences)
        losses = [outcome.loss for outcome in outcomes if outcome.arm == name and outcome.loss is not None]
        summaries.append(
            ArmSummary(
                arm=name,
                finished=len(own),
                failed=sum(outcome.arm == name and outcome.state == "failed" for outcome in outcomes),
                sdri_db=mean,
                half_width_db=half_width,
                difference_db=difference,
                difference_half_width_db=difference_half_width,
                measured_otherwise=tuple(otherwise),
                loss=mean_and_interval(losses)[0],
            )
        )
    return summaries


def _others(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    return {part for part in one.keys() | other.keys() if one.get(part) != other.get(part)}


def mean_and_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Give the mean and half the width of its 95 % interval by Student's t; None where there are too few values."""
    if not values:
        return None, None
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return mean, None
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    return mean, _quantile(count - 1) * deviation / math.sqrt(count)


def _quantile(freedom: int) -> float:
    if freedom <= len(_T):
        return _T[freedom - 1]
    z = _NORMAL
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def to_json(summaries: Sequence[ArmSummary], outcomes: Sequence[RunOutcome]) -> str:
    """Write all as JSON."""
    content: Mapping[str, Any] = {
        "metric": "SDRi in dB of the last state, mean over classes; 95 % interval of Student's t over the seeds",
        "arms": [summary.model_dump() for summary in summaries],
        "runs": [outcome.model_dump() for outcome in outcomes],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


COLUMNS = ("Arm", "Seeds", "SDRi dB", "Against the base", "Loss", "Failed")


def rows_of(summaries: Sequence[ArmSummary]) -> list[tuple[str, ...]]:
    """Give the cells of a table under `COLUMNS`."""
    return [
        (
            summary.arm,
            str(summary.finished),
            _shown(summary.sdri_db, summary.half_width_db),
            _shown(summary.difference_db, summary.difference_half_width_db, sign="+"),
            "" if summary.loss is None else f"{summary.loss:.4f}",
            str(summary.failed or ""),
        )
        for summary in summaries
    ]


def notes_of(summaries: Sequence[ArmSummary]) -> list[str]:
    """Say of which arms there is no difference because their scores are of something else than the base's."""
    return [
        f"{summary.arm}: scored on another {', '.join(_PARTS.get(part, part) for part in summary.measured_otherwise)} "
        "than the base, so its SDRi says nothing against that"
        for summary in summaries
        if summary.measured_otherwise
    ]


def to_markdown(summaries: Sequence[ArmSummary], outcomes: Sequence[RunOutcome]) -> str:
    """Write the table, and below it what cannot be compared and what failed."""
    rows = [COLUMNS, ("---",) + ("---:",) * (len(COLUMNS) - 1), *rows_of(summaries)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    failed = [
        f"- {outcome.arm}, seed {outcome.seed}, step {outcome.step}: {outcome.error}"
        for outcome in outcomes
        if outcome.state == "failed"
    ]
    notes = [f"- {note}" for note in notes_of(summaries)]
    for title, found in (("Not compared:", notes), ("Failed:", failed)):
        lines += ["", title, "", *found] if found else []
    return "\n".join(lines) + "\n"


def _shown(value: float | None, half_width: float | None, *, sign: str = "") -> str:
    if value is None:
        return ""
    return f"{value:{sign}.2f}" + ("" if half_width is None else f" ± {half_width:.2f}")
