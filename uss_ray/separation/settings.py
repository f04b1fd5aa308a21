"""Every number and choice of a separation, checked where it is made.

Owns ranges and the profile of the published program; what the numbers do is told where they are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from uss_ray.errors import ConfigError
from uss_ray.models.precision import Precision

ConditionKind = Literal["auto", "class-mean", "detected"]
Hierarchy = Literal["graph", "published"]
ChannelMode = Literal["mid", "independent"]
Joins = Literal["faded", "hard"]


@dataclass(frozen=True, kw_only=True)
class SeparationSettings:
    """How a recording is separated.

    Parameters
    ----------
    threshold : float, default=0.2
        A target is active in a segment where the largest probability of its classes reaches this; in [0, 1].
    condition : {"auto", "class-mean", "detected"}, default="auto"
        What steers the separator to an ontology node. `"class-mean"`: the average over the training anchors of the
        node's class. `"detected"`: the segment's own class probabilities with all classes outside the node set to
        zero. `"auto"`: class means where the weights have them, for they separate better (docs/adr/0012).
    hierarchy : {"graph", "published"}, default="graph"
        Which nodes make a level, and what they hold: the ontology as the graph it is, or the tree that the released
        program takes it for.
    segment_seconds : int, default=2
        Step of the segment grid; whole seconds, so that positions are integers at every sample rate.
    joins : {"faded", "hard"}, default="faded"
        `"faded"`: a segment is separated with the real sound around it, neighbours are cross-faded.
        `"hard"`: each segment is separated alone and set end to end.
    context_seconds : float, default=0.64
        Real sound on each side of a segment that the separator sees; 0 for hard joins.
    fade_seconds : float, default=0.25
        Length of the cross-fade, centred at the boundary; at most twice the context, below the segment; 0 for
        hard joins.
    channel_mode : {"mid", "independent"}, default="mid"
        One mask from the mean of the channels, applied to each of them, or one mask for each channel.
    mixture_consistency : bool, default=False
        Make the masks of all active targets of a level sum to 1 (to what is left, where something is excluded).
    batch_size : int, default=4
        Segments or masks in one forward of a network on an accelerator; at least 1. A batch that is partly filled is
        padded, for the shape shows in the bits. A CPU takes one at a time (docs/adr/0015).
    span_segments : int, default=6
        Segments held at a time; more fill batches better, fewer take less memory; at least 1.
    silence_db : float, default=-90
        Segments below this RMS level in dBFS are not tagged: their probabilities are 0. `-inf` tags all.
    precision : {"float32", "tfloat32", "bfloat16"}, default="float32"
        Of the separator on a GPU: see `models.precision`; without effect on a CPU. `"tfloat32"` is faster with large
        networks, its error lies 60 dB below a stem and less; of `"bfloat16"` 30 dB.

    Raises
    ------
    ConfigError
        If a value is out of its range or in conflict with another.
    """

    threshold: float = 0.2
    condition: ConditionKind = "auto"
    hierarchy: Hierarchy = "graph"
    segment_seconds: int = 2
    joins: Joins = "faded"
    context_seconds: float = 0.64
    fade_seconds: float = 0.25
    channel_mode: ChannelMode = "mid"
    mixture_consistency: bool = False
    batch_size: int = 4
    span_segments: int = 6
    silence_db: float = -90.0
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        _check_choice("condition", self.condition, get_args(ConditionKind))
        _check_choice("hierarchy", self.hierarchy, get_args(Hierarchy))
        _check_choice("joins", self.joins, get_args(Joins))
        _check_choice("channel_mode", self.channel_mode, get_args(ChannelMode))
        _check_choice("precision", self.precision, get_args(Precision))
        _check("threshold", 0.0 <= self.threshold <= 1.0, "a number in [0, 1]", self.threshold)
        for name in ("segment_seconds", "batch_size", "span_segments"):
            value = getattr(self, name)
            _check(name, isinstance(value, int) and value >= 1, "a whole number of at least 1", value)
        _check("silence_db", self.silence_db <= 0.0, "at most 0 dBFS", self.silence_db)
        for name in ("context_seconds", "fade_seconds"):
            value = getattr(self, name)
            _check(name, math.isfinite(value) and value >= 0.0, "a length of at least 0", value)
        if self.joins == "hard":
            for name in ("context_seconds", "fade_seconds"):
                _check(name, getattr(self, name) == 0.0, "0 for hard joins", getattr(self, name))
        limit = min(2 * self.context_seconds, self.segment_seconds)
        _check(
            "fade_seconds",
            self.fade_seconds <= limit,
            f"at most {limit} s (twice the context, and no more than a segment)",
            self.fade_seconds,
        )

    @classmethod
    def published(cls) -> SeparationSettings:
        """Give the settings of the released program: segments on their own, set end to end.

        Notes
        -----
        Kong et al. 2023; package `uss` 0.0.4, `inference.py`: 2 s segments, threshold 0.2, the tagger's soft output
        masked to the node's subtree in its tree. It tags silence too.
        """
        return cls(
            threshold=0.2,
            condition="detected",
            hierarchy="published",
            segment_seconds=2,
            joins="hard",
            context_seconds=0.0,
            fade_seconds=0.0,
            silence_db=-math.inf,
        )


def _check(name: str, holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise ConfigError(f"separation setting {name}", expected=expected, found=str(found))


def _check_choice(name: str, found: str, choices: tuple[str, ...]) -> None:
    _check(name, found in choices, " or ".join(choices), found)
