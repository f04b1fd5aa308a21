"""What counts as silence: the one home of all thresholds, by what they decide.

Levels are in dBFS (a full-scale sine has a peak of 0 and an RMS level of -3). None turns a threshold off: nothing
counts as silence.
"""

from __future__ import annotations

from pydantic import Field

from uss_ray.config import Settings


class SeparationSilence(Settings):
    """What a separation takes for silence."""

    untagged_below_rms_dbfs: float | None = Field(
        default=-90.0, le=0.0, description="Segments below this RMS level are not tagged; off: all are."
    )
    stem_silent_below_peak_dbfs: float | None = Field(
        default=-70.0, le=0.0, description="A stem whose peak never exceeds this is silent and is not kept."
    )
    residual_silent_below_peak_dbfs: float | None = Field(
        default=-120.0,
        le=0.0,
        description="A residual whose peak never exceeds this is not kept: the stems are the recording without it.",
    )
    example_cut_below_share_of_peak: float = Field(
        default=0.02,
        ge=0.0,
        lt=1.0,
        description="Tenths of a second of an example whose peak is below this share of its own are cut out.",
    )


class MiningSilence(Settings):
    """What mining takes for silence."""

    anchor_rejected_below_rms_dbfs: float | None = Field(
        default=-60.0, le=0.0, description="Anchors below this RMS level are rejected; off: none is."
    )
