"""What is written of a recording, besides its index rows. Without NumPy, for the command line reads it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from uss_ray.audio.spec import StemFormat
from uss_ray.config import Settings

WriteMode = Literal["stems", "active-spans", "index-only"]


class WriteOptions(Settings):
    """What is written of a recording, besides its index rows."""

    stem_format: StemFormat = Field(default="flac", description="Format of the stems.")
    residual: bool = Field(
        default=True, description="Write what the stems of a level leave over; only with whole stems."
    )
    write: WriteMode = Field(
        default="stems",
        description="stems: as long as the recording; active-spans: a file for each stretch in which a sound is "
        "active; index-only: no sound, the index alone says what is where.",
    )
    report: bool = Field(default=True, description="Write an HTML page.")
