"""What all recordings of a run have in common when their stems are written."""

from __future__ import annotations

from dataclasses import dataclass, field

from uss_ray.results.index.table import RunFacts
from uss_ray.results.options import WriteOptions
from uss_ray.results.stem_plan import StemPlan
from uss_ray.silence import SeparationSilence


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
    surely_absent_below : float or None, default=None
        Probability below which what is not found is surely absent, in [0, 1]; None: nothing is said of it.
    """

    plan: StemPlan
    facts: RunFacts
    options: WriteOptions = field(default_factory=WriteOptions)
    silence: SeparationSilence = field(default_factory=SeparationSilence)
    fade_seconds: float = 0.25
    surely_absent_below: float | None = None

    @property
    def spans_have_files(self) -> bool:
        """Whether each stretch that was separated has a file of its own."""
        return self.options.write == "active-spans"

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
