"""Every number and choice of a separation: those of a request, and those of the networks that serve many requests.

Owns ranges and the profile of the published program; what the numbers do is told where they are used.
"""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from uss_ray.config import Settings
from uss_ray.errors import ConfigError
from uss_ray.models.precision import Precision
from uss_ray.silence import SeparationSilence

ConditionKind = Literal["auto", "class-mean", "detected"]
Hierarchy = Literal["graph", "published"]
ChannelMode = Literal["mid", "independent"]
Joins = Literal["faded", "hard"]
Times = Literal["frames", "segments"]
Composition = Literal["sums", "nodes"]

DEFAULT_THRESHOLD: Final = 0.2
EVENT_THRESHOLD: Final = 0.3
ABSENT_PROBABILITY: Final = 0.0003


class NetworkSettings(Settings):
    """How the networks of an engine work, whatever request they work for."""

    batch_size: int = Field(
        default=4,
        ge=1,
        description="Rows in one forward of a network on an accelerator. A batch that is partly filled is padded, for "
        "the shape shows in the bits. A CPU takes one at a time (docs/adr/0015).",
    )
    span_segments: int = Field(
        default=6,
        ge=1,
        description="Segments of a recording held at a time; more fill batches better, fewer take less memory.",
    )
    precision: Precision = Field(
        default="float32",
        description="Of the separator on a GPU; without effect on a CPU. tfloat32 is faster with large networks, its "
        "error lies 60 dB below a stem and less; of bfloat16 30 dB.",
    )
    in_bands: bool = Field(
        default=False,
        description="Let a ResUNet hear and mask high frequencies in bands of 2 to 8 bins: a third of its work, some "
        "0.1 dB less of two sounds at equal energies, no less in scenes (docs/adr/0103).",
    )


EngineNetworks = Annotated[NetworkSettings, Field(description="How the networks of the engine work.")]
"""Type of a field of a request."""


class SeparationSettings(Settings):
    """How a recording is separated.

    Raises
    ------
    ConfigError
        If a value is out of its range or in conflict with another.
    """

    threshold: Annotated[float, Field(ge=0.0, le=1.0)] | None = Field(
        default=None,
        description="A target is active in a segment where the probability of one of its classes reaches this. Off: "
        f"what a calibration of the weights has for the class, else {DEFAULT_THRESHOLD:g}, and {EVENT_THRESHOLD:g} for "
        "events (docs/adr/0039).",
    )
    calibrated: bool = Field(
        default=True,
        description="Use the calibration that weights bring, where they bring one: of probabilities and thresholds.",
    )
    sure_probability: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Probability from which on what is detected is sure; below, it is doubtful.",
    )
    tag_context_seconds: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Real sound on each side of a segment that the tagger hears with it, to tell of the segment alone "
        "what sounds in it; of taggers that pool what they say of frames. 0: it hears the segment alone "
        "(docs/adr/0096).",
    )
    absent_probability: Annotated[float, Field(ge=0.0, le=1.0)] | None = Field(
        default=ABSENT_PROBABILITY,
        description="Highest probability in a recording below which a sound that is not found is surely absent; from "
        "it on its absence is doubtful (docs/adr/0096). Off: nothing is said of it.",
    )
    retag_doubtful: bool = Field(
        default=False,
        description="Tag the stem of what is doubtful, and say in the index how probable its sound is in the stem "
        "itself (docs/adr/0039).",
    )
    times: Times = Field(
        default="frames",
        description="Where a sound begins and ends in the segments in which it is detected. frames: as the tagger's "
        "frames have it, if it has any. segments: it fills them.",
    )
    names_within_seconds: float = Field(
        default=4.0,
        ge=0.0,
        le=60.0,
        description="An event keeps the most specific name that it has near by: so far away, as long as it goes on. 0: "
        "each segment is named by itself (docs/adr/0051).",
    )
    only_detected: bool = Field(
        default=False,
        description="Separate, and exclude, what was asked for by name or words only where it is detected, as the "
        "nodes of a level are; otherwise wherever there is sound (docs/adr/0037).",
    )
    condition: ConditionKind = Field(
        default="auto",
        description="What steers the separator to an ontology node. class-mean: the average over the training anchors "
        "of the node's class. detected: the segment's own class probabilities with all classes outside the node set "
        "to zero. auto: class means where the weights have them, for they separate better (docs/adr/0012).",
    )
    hierarchy: Hierarchy = Field(
        default="graph",
        description="Which nodes make a level, and what they hold: the ontology as the graph it is, or the tree that "
        "the released program takes it for (published).",
    )
    segment_seconds: int = Field(
        default=2,
        ge=1,
        description="Step of the segment grid; whole seconds, so that positions are integers at every sample rate.",
    )
    joins: Joins = Field(
        default="faded",
        description="faded: a segment is separated with the real sound around it, neighbours are cross-faded. hard: "
        "each segment is separated alone and set end to end.",
    )
    context_seconds: float = Field(
        default=0.64,
        ge=0.0,
        description="Real sound on each side of a segment that the separator sees; 0 for hard joins.",
    )
    fade_seconds: float = Field(
        default=0.25,
        ge=0.0,
        description="Length of the cross-fade, centred at the boundary; at most twice the context and no more than a "
        "segment; 0 for hard joins.",
    )
    channel_mode: ChannelMode = Field(
        default="mid",
        description="mid: one mask from the mean of the channels, applied to each of them. independent: one mask for "
        "each channel.",
    )
    composition: Composition = Field(
        default="sums",
        description="What the stems of levels are made of. sums: the most specific classes that sound are separated "
        "once and share the mixture; a node is the sum of those below it, so that levels agree. nodes: each node is "
        "separated by itself (docs/adr/0038).",
    )
    given_back: float = Field(
        default=0.25,
        ge=0.0,
        le=1.0,
        description="How much of what they leave is given back to the parts of levels, by their energy; of sums alone.",
    )
    mixture_consistency: bool = Field(
        default=False,
        description="Make the masks of all active targets of a level sum to 1, or to what an exclusion leaves.",
    )
    silence: SeparationSilence = Field(
        default_factory=SeparationSilence, description="What counts as silence."
    )

    @model_validator(mode="after")
    def _check_joins(self) -> Self:
        if self.joins == "hard":
            for name in ("context_seconds", "fade_seconds"):
                if getattr(self, name) != 0.0:
                    raise _unfit(name, "0 for hard joins", getattr(self, name))
        limit = min(2 * self.context_seconds, self.segment_seconds)
        if self.fade_seconds > limit:
            expected = f"at most {limit} s (twice the context, and no more than a segment)"
            raise _unfit("fade_seconds", expected, self.fade_seconds)
        return self

    @property
    def names_reach_segments(self) -> int:
        """How many segments away an event finds its name."""
        return math.ceil(self.names_within_seconds / self.segment_seconds)

    @classmethod
    def published(cls) -> Self:
        """Give the settings of the released program: segments on their own, set end to end.

        Notes
        -----
        Kong et al. 2023; package `uss` 0.0.4, `inference.py`: 2 s segments, threshold 0.2, the tagger's soft output
        masked to the node's subtree in its tree. It tags silence too. What is asked for by name is gated as its nodes
        are.
        """
        return cls(
            threshold=DEFAULT_THRESHOLD,
            calibrated=False,
            absent_probability=None,
            times="segments",
            names_within_seconds=0.0,
            only_detected=True,
            condition="detected",
            hierarchy="published",
            composition="nodes",
            segment_seconds=2,
            joins="hard",
            context_seconds=0.0,
            fade_seconds=0.0,
            silence=SeparationSilence(untagged_below_rms_dbfs=None),
        )


def nearest_segment_seconds(seconds: float) -> int:
    """Give the step of the segment grid that is nearest to a length; the grid has whole seconds.

    Examples
    --------
    >>> nearest_segment_seconds(0.5), nearest_segment_seconds(1.97)
    (1, 2)
    """
    return max(1, round(seconds))


def _unfit(name: str, expected: str, found: float) -> ConfigError:
    return ConfigError(f"separation setting {name}", expected=expected, found=str(found))
