"""What counts as silence: the one home of all thresholds, by what they decide.

Levels are in dBFS (a full-scale sine has a peak of 0 and an RMS level of -3). None turns a threshold off: nothing
counts as silence.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from uss_ray.config import Settings

EXAMPLE_FRAME_SECONDS: Final = 0.1
EXAMPLE_SILENT_BELOW_PEAK: Final = 0.02
"""Frames of an example recording whose peak is below this share of the whole example's are cut out before it becomes a
condition (released program, `utils.remove_silence`)."""

RESIDUAL_SILENT_BELOW_PEAK: Final = 1e-6
"""A residual whose peak never exceeds this is not kept: the stems sum to the mixture without it."""


class SeparationSilence(Settings):
    """What a separation takes for silence."""

    untagged_below_rms_dbfs: float | None = Field(
        default=-90.0, le=0.0, description="Segments below this RMS level are not tagged; off: all are."
    )
    stem_silent_below_peak_dbfs: float | None = Field(
        default=-70.0, le=0.0, description="A stem whose peak never exceeds this is silent and is not kept."
    )


class MiningSilence(Settings):
    """What mining takes for silence."""

    anchor_rejected_below_rms_dbfs: float | None = Field(
        default=-60.0, le=0.0, description="Anchors below this RMS level are rejected; off: none is."
    )
