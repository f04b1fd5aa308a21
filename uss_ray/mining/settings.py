"""Every number and choice of mining, checked where it is made."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from uss_ray.config import Settings
from uss_ray.errors import ConfigError
from uss_ray.silence import MiningSilence

Mode = Literal["paper", "random", "outside"]
Conditions = Literal["none", "soft", "latent", "both"]


class MiningSettings(Settings):
    """How anchors are mined from weakly labelled clips.

    Raises
    ------
    ConfigError
        If a value is out of its range or in conflict with another.
    """

    mode: Mode = Field(
        default="paper",
        description="paper: where the mean detector probability of the class is largest, the frames at the borders of "
        "the clip being repeated outwards; where that place is below min_probability, the best that is not. random: "
        "anywhere in the clip with the same chance, drawn from seed, clip id and class, so that order and sharding "
        "change nothing. outside: drawn likewise, but beside the place that paper takes; needs min_probability 0.",
    )
    anchor_seconds: float = Field(default=2.0, gt=0.0, description="Length of an anchor.")
    clip_seconds: float = Field(
        default=10.0,
        gt=0.0,
        description="What the detector sees at once; longer clips are cut, shorter ones padded with zeros in which no "
        "anchor lies.",
    )
    anchors_per_label: int = Field(
        default=1, ge=1, description="Most anchors of one weak label of a clip; they do not overlap."
    )
    min_share: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Further anchors of a label need this share of the score of its first; without effect on random "
        "ones.",
    )
    min_probability: float = Field(
        default=0.1, ge=0.0, le=1.0, description="Least score: mean detector probability in the anchor."
    )
    silence: MiningSilence = Field(default_factory=MiningSilence, description="What counts as silence.")
    min_purity: float = Field(default=0.0, ge=0.0, le=1.0, description="Least purity (docs/adr/0021).")
    max_purity: float = Field(default=1.0, ge=0.0, le=1.0, description="Largest purity.")
    keep_probability: float = Field(
        default=0.01,
        ge=0.0,
        le=1.0,
        description="Clip-wise probabilities from here on are kept with the anchor.",
    )
    conditions: Conditions = Field(
        default="none", description="Query-net bottlenecks of the anchor's own audio that are kept with it."
    )
    batch_size: int = Field(
        default=4, ge=1, description="Clips in one forward of the detector; always full (docs/adr/0021)."
    )
    seed: int = Field(default=0, ge=0, description="Of the modes that draw.")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.anchor_seconds > self.clip_seconds:
            raise ConfigError(
                "mining settings anchor_seconds",
                expected=f"at most the {self.clip_seconds:g} s of a clip",
                found=str(self.anchor_seconds),
            )
        if self.min_purity > self.max_purity:
            raise ConfigError(
                "mining settings min_purity",
                expected=f"at most max_purity, {self.max_purity:g}",
                found=str(self.min_purity),
            )
        return self

    @classmethod
    def published(cls) -> Self:
        """Give the settings of the paper: one anchor for each label, nothing rejected.

        Notes
        -----
        Kong et al. 2023, anchor segment mining; package `uss` 0.0.4, `data/anchor_segment_detectors.py`.
        """
        return cls(min_probability=0.0, silence=MiningSilence(anchor_rejected_below_rms_dbfs=None))
