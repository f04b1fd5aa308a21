"""Every number and choice of mining, checked where it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from uss_ray.errors import ConfigError

Mode = Literal["paper", "random"]
Conditions = Literal["none", "soft", "latent", "both"]


@dataclass(frozen=True, kw_only=True)
class MiningSettings:
    """How anchors are mined from weakly labelled clips.

    Parameters
    ----------
    mode : {"paper", "random"}, default="paper"
        `"paper"`: where the mean detector probability of the class is largest. `"random"`: anywhere in the clip with
        the same chance, drawn from the seed, the clip id and the class, so that order and sharding change nothing.
    anchor_seconds : float, default=2
    clip_seconds : float, default=10
        What the detector sees at once; longer clips are cut, shorter ones padded with zeros in which no anchor lies.
    anchors_per_label : int, default=1
        Most anchors of one weak label of a clip; they do not overlap.
    min_share : float, default=0.5
        Further anchors of a label need this share of the score of its first; in [0, 1]. No effect on random ones.
    min_probability : float, default=0.1
        Least score (mean detector probability in the anchor); in [0, 1].
    silence_db : float, default=-60
        Anchors whose RMS level in dBFS is below this are rejected; at most 0, `-inf` keeps all.
    min_purity, max_purity : float, default=0, 1
        Range of purity (docs/adr/0021) that is kept; in [0, 1].
    keep_probability : float, default=0.01
        Clip-wise probabilities from here on are kept with the anchor; in [0, 1].
    conditions : {"none", "soft", "latent", "both"}, default="none"
        Query-net bottlenecks of the anchor's own audio that are kept with it.
    batch_size : int, default=4
        Clips in one forward of the detector; always full (docs/adr/0021).
    seed : int, default=0
        Of `"random"`.

    Raises
    ------
    ConfigError
        If a value is out of its range or in conflict with another.
    """

    mode: Mode = "paper"
    anchor_seconds: float = 2.0
    clip_seconds: float = 10.0
    anchors_per_label: int = 1
    min_share: float = 0.5
    min_probability: float = 0.1
    silence_db: float = -60.0
    min_purity: float = 0.0
    max_purity: float = 1.0
    keep_probability: float = 0.01
    conditions: Conditions = "none"
    batch_size: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in (("mode", Mode), ("conditions", Conditions)):
            choices = get_args(kind)
            _check(name, getattr(self, name) in choices, " or ".join(choices), getattr(self, name))
        for name in ("min_share", "min_probability", "min_purity", "max_purity", "keep_probability"):
            value = getattr(self, name)
            _check(name, 0.0 <= value <= 1.0, "a number in [0, 1]", value)
        for name in ("anchors_per_label", "batch_size"):
            value = getattr(self, name)
            _check(name, isinstance(value, int) and value >= 1, "a whole number of at least 1", value)
        _check(
            "seed", isinstance(self.seed, int) and self.seed >= 0, "a whole number of at least 0", self.seed
        )
        for name in ("anchor_seconds", "clip_seconds"):
            value = getattr(self, name)
            _check(name, math.isfinite(value) and value > 0, "a length above 0", value)
        _check("silence_db", self.silence_db <= 0.0, "at most 0 dBFS", self.silence_db)
        _check(
            "anchor_seconds",
            self.anchor_seconds <= self.clip_seconds,
            f"at most the {self.clip_seconds:g} s of a clip",
            self.anchor_seconds,
        )
        _check(
            "min_purity",
            self.min_purity <= self.max_purity,
            f"at most max_purity, {self.max_purity:g}",
            self.min_purity,
        )

    @classmethod
    def published(cls) -> MiningSettings:
        """Give the settings of the paper: one anchor for each label, nothing rejected.

        Notes
        -----
        Kong et al. 2023, anchor segment mining; package `uss` 0.0.4, `data/anchor_segment_detectors.py`.
        """
        return cls(min_probability=0.0, silence_db=-math.inf)


def _check(name: str, holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise ConfigError(f"mining setting {name}", expected=expected, found=str(found))
