"""What all recordings of a run have in common when their stems are written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from uss_ray.audio.spec import StemSubtype
from uss_ray.results.blocks import Geometry
from uss_ray.results.index.table import RecordingFacts, RunFacts
from uss_ray.results.layout import report_sound_path
from uss_ray.results.options import WriteOptions
from uss_ray.results.report.portrait import PortraitPainter
from uss_ray.results.stem_plan import StemPlan
from uss_ray.results.stems.files import Encoding
from uss_ray.silence import SeparationSilence

_BEGINNING_SECONDS = 90.0


@dataclass(frozen=True, kw_only=True)
class StemRun:
    """Which stems are written of each recording, and how.

    Parameters
    ----------
    plan : StemPlan
        In the order of the engine's targets.
    facts : RunFacts
        For the index.
    options : WriteOptions
    silence : SeparationSilence
        A segment is heard where its peak exceeds `stem_silent_below_peak_dbfs`. A stem, or the file of a span, has
        sound from the first segment on in which it is heard, and is not kept if there is none. Residuals are made
        from what is kept, so that the stems of a level and its residual sum to the mixture whatever this is.
    fade_seconds : float, default=0.25
        Length of the cross-fade between segments, for the files of spans.
    """

    plan: StemPlan
    facts: RunFacts
    options: WriteOptions = field(default_factory=WriteOptions)
    silence: SeparationSilence = field(default_factory=SeparationSilence)
    fade_seconds: float = 0.25

    @property
    def spans_of(self) -> Literal["detected", "active"]:
        """What makes the spans of the index: what is detected, or where each span has a file, what was separated."""
        return "active" if self.options.write == "active-spans" else "detected"

    def encoding(self, geometry: Geometry, *, recording: RecordingFacts, subtype: StemSubtype) -> Encoding:
        """Say what all stems of a recording have in common."""
        return Encoding(
            geometry.sample_rate,
            geometry.channels,
            recording.frames,
            self.options.stem_format,
            subtype,
            recording.tags if self.options.metadata else None,
        )

    def painter(self, geometry: Geometry, *, recording: RecordingFacts, root: Path) -> PortraitPainter | None:
        """Begin what the report shows and plays of a recording below a local root; None where there is to be none.

        Its copy to listen to is as long as the recording, or holds the beginning where no sound is to be kept.
        """
        if not self.options.report:
            return None
        return PortraitPainter(
            geometry,
            frames=recording.frames,
            sound=root / report_sound_path(recording.recording_id),
            max_seconds=_BEGINNING_SECONDS if self.options.write == "index-only" else math.inf,
        )

    @property
    def heard_above_peak(self) -> float:
        """Linear peak above which a segment of a stem is heard; negative where all are."""
        return _linear(self.silence.stem_silent_below_peak_dbfs)

    @property
    def residual_heard_above_peak(self) -> float:
        """The same of a residual."""
        return _linear(self.silence.residual_silent_below_peak_dbfs)


def _linear(floor_dbfs: float | None) -> float:
    return -1.0 if floor_dbfs is None else 10.0 ** (floor_dbfs / 20.0)
