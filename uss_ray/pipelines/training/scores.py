"""What validations are compared by: the score of a separator, or that of a tagger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SDRI, MEAN_AVERAGE_PRECISION = "sdri_db", "mean_average_precision"
TITLES: Final = {
    SDRI: "SDRi in dB, mean over classes",
    MEAN_AVERAGE_PRECISION: "Average precision, mean over classes",
}


def score_name(validation: Mapping[str, Any]) -> str:
    """Say which score a line of `validations.jsonl` has; the larger, the better."""
    return next(name for name in TITLES if name in validation)
