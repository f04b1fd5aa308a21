"""What is written of each recording, as the user chooses it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from uss_ray.audio.spec import StemFormat
from uss_ray.config import Settings

WriteMode = Literal["stems", "active-spans", "index-only"]
"""What is written of a recording besides its index rows: whole stems, one file for each active span, nothing."""

LabelFormat = Literal["audacity", "raven", "csv", "rttm", "jams", "vtt"]
"""Tools and standards that labels are written for; see `labels`."""


class WriteOptions(Settings):
    """What is written of each recording, and in which format."""

    stem_format: StemFormat = Field(default="flac", description="Container of the stems.")
    residual: bool = Field(
        default=True,
        description="Write, for each level and for the queries, the mixture minus their stems; only with whole stems.",
    )
    write: WriteMode = Field(
        default="stems",
        description="Whole stems as long as the recording (stems), one file for each active span with half a fade on "
        "both sides (active-spans), or no sound at all (index-only): then the index alone says what is where.",
    )
    report: bool = Field(
        default=True,
        description="Write an HTML page for each recording, and beside it an MP3 copy of the recording to listen to "
        "(of its beginning, where no sound is to be written).",
    )
    metadata: bool = Field(
        default=True,
        description="Stems say what their recording's file says besides its sound (titles, BEXT, iXML), and what they "
        "are; WAV marks events with cue points (docs/adr/0043).",
    )
    labels: tuple[LabelFormat, ...] = Field(
        default=(),
        description="Write what was heard where beside the stems, for the tools named: Audacity's label track, Raven's "
        "selection table, CSV, RTTM, JAMS, WebVTT.",
    )

    @field_validator("labels", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        """Take one for a list of one."""
        return (given,) if isinstance(given, str) else given
