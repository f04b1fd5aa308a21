"""What validations are compared by: a score, and what it was measured on. Scores of two lists are never compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

SDRI, MEAN_AVERAGE_PRECISION = "sdri_db", "mean_average_precision"
TITLES: Final = {
    SDRI: "SDRi in dB, mean over classes",
    MEAN_AVERAGE_PRECISION: "Average precision, mean over classes",
}

_MEASURED_ON: Final = ("query", "list_sha256", "labels_sha256")


def measured_on(validation: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a line of `validations.jsonl` was measured on: its list and query, or its labels."""
    return {name: validation[name] for name in _MEASURED_ON if name in validation}


def comparable(validations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep the lines that were measured on what the last one was."""
    return [line for line in validations if measured_on(line) == measured_on(validations[-1])]


def alike(validations: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Put the lines together that were measured on the same."""
    groups: list[list[Mapping[str, Any]]] = []
    for line in validations:
        own = next((group for group in groups if measured_on(group[0]) == measured_on(line)), None)
        if own is None:
            groups.append(own := [])
        own.append(line)
    return groups


def told(validation: Mapping[str, Any]) -> str:
    """Say a score in words."""
    if SDRI in validation:
        return f"SDRi {validation[SDRI]:z.2f} dB, {validation['query']} query, {validation['pairs']} mixtures"
    return f"mAP {validation[MEAN_AVERAGE_PRECISION]:.3f}, {validation['clips']} clips"


def score_name(validation: Mapping[str, Any]) -> str:
    """Say which score a line of `validations.jsonl` has; the larger, the better."""
    return next(name for name in TITLES if name in validation)
