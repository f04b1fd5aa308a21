"""How separators and taggers are trained: every number and choice. Without torch, for the command line reads it.

What the numbers do is told where they are used.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from uss_ray.config import Count, Settings
from uss_ray.errors import ConfigError
from uss_ray.models.network_settings import AdaptorConfig, ResUNetConfig, SeparatorConfig, TaggerConfig
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.specifications import ConditionKind
from uss_ray.training.schedules import published_staircase, warmup_cosine

_SUM_TOLERANCE = 1e-6


class PlanSettings(Settings):
    """How anchors are drawn for the steps of a run."""

    seed: int = Field(default=0, ge=0, description="Of all draws.")
    batch_size: Count = Field(default=16, description="Items in a step, over all workers.")
    lanes: Count = Field(
        default=8,
        description="Parts that a step is made in. Any number of workers that divides it sees the same steps; each "
        "lane holds one row group a class in memory.",
    )

    @model_validator(mode="after")
    def _divide(self) -> PlanSettings:
        if self.batch_size % self.lanes:
            raise ConfigError(
                "training setting batch_size",
                expected=f"a multiple of the {self.lanes} lanes",
                found=str(self.batch_size),
            )
        return self

    @property
    def lane_items(self) -> int:
        """Items of a lane in a step."""
        return self.batch_size // self.lanes


class ConditionShares(Settings):
    """How often a training item gets which kind of condition; the shares sum to 1."""

    own: float = Field(
        default=0.3, ge=0.0, le=1.0, description="The target anchor's own bottleneck, as in the paper."
    )
    masked: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="The same with all classes outside the target's subtree set to zero, as at hierarchical inference.",
    )
    class_mean: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="The mean of the class, so that a class can be asked for without an example.",
    )

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        _check_sum("condition shares", self.own, self.masked, self.class_mean)
        return self


class MixtureSettings(Settings):
    """What the items of a run are made of."""

    two_sources: float = Field(default=1.0, ge=0.0, le=1.0, description="Share of mixtures of two anchors.")
    three_sources: float = Field(default=0.0, ge=0.0, le=1.0, description="Of three.")
    four_sources: float = Field(default=0.0, ge=0.0, le=1.0, description="Of four.")
    levels: Literal["matched", "recorded"] = Field(
        default="matched",
        description="matched: partners are brought to the energy of the target, as in the paper. recorded: they keep "
        "the level that they were recorded at beside it.",
    )
    snr_range_db: float = Field(
        default=0.0,
        ge=0.0,
        description="After that, each partner's level is moved by so many dB up or down, evenly.",
    )
    partners: Literal["unrelated", "labels", "any", "clip"] = Field(
        default="unrelated",
        description="unrelated: partners whose clip has no label, and in which the detector heard no class, that is "
        "the target's, holds it or lies below it, nor the other way round. labels: the same by labels alone, where a "
        "detector of few classes hears a little of each everywhere. any: the next anchor, whatever it is. clip: "
        "another anchor of the target's clip and class, where there is one.",
    )
    absent: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Share of items that ask for a class which is not there; their target is silence.",
    )
    twins: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Share of targets that are two events of a class."
    )
    couples: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Of mixtures of three or four, share whose target is two of the sources, asked for together.",
    )
    textures: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Share of mixtures with a further anchor 10 to 20 dB below the target.",
    )
    target_rms_dbfs: tuple[float, float] | None = Field(
        default=(-35.0, -15.0),
        description="Range of levels that targets are brought to; off: they stay as recorded.",
    )
    conditions: ConditionShares = Field(
        default_factory=ConditionShares, description="What steers the separator to the target."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_sum("shares of sources", self.two_sources, self.three_sources, self.four_sources)
        if self.couples and not self.three_sources + self.four_sources:
            raise ConfigError(
                "training setting mixtures.couples",
                expected="0 without mixtures of three or four sources",
                found=f"{self.couples:g}",
            )
        levels = self.target_rms_dbfs
        if levels is not None and levels[0] > levels[1]:
            raise ConfigError(
                "training setting target_rms_dbfs",
                expected="the lower level first",
                found=f"{levels[0]} {levels[1]}",
            )
        return self


class AugmentationSettings(Settings):
    """How strongly sources are changed; 0 leaves them as they are."""

    speed: float = Field(
        default=0.0, ge=0.0, le=0.5, description="Faster or slower by at most this share, pitch with it."
    )
    tilt_db_per_octave: float = Field(
        default=0.0, ge=0.0, le=12.0, description="Most that the spectrum is tilted around 1 kHz."
    )
    polarity: bool = Field(default=False, description="Invert half of the sources.")
    room: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Share of sources that are put into a room of noise-like decay.",
    )
    room_ratio_db: tuple[float, float] = Field(
        default=(-20.0, -6.0), description="Level of the room's sound under the direct one."
    )

    @property
    def is_off(self) -> bool:
        """Whether nothing is changed."""
        return not (self.speed or self.tilt_db_per_octave or self.polarity or self.room)


class LossSettings(Settings):
    """Which loss, and how silent targets count."""

    kind: Literal["l1", "l1-relative", "l1-stft", "snr"] = Field(
        default="l1-relative",
        description="l1: mean absolute difference of the waveforms, as the paper. l1-relative: the same over the level "
        "of each mixture, so that quiet items count as loud ones. l1-stft: l1-relative plus the same of magnitudes at "
        "three resolutions. snr: negative signal-to-noise ratio, capped.",
    )
    snr_cap_db: float = Field(
        default=30.0, gt=0.0, description="Of snr: a ratio above it gains nothing more."
    )
    silent_weight: float = Field(
        default=0.1, ge=0.0, description="Of snr: weight of items whose target is silence."
    )


class OptimiserSettings(Settings):
    """AdamW, and how its rate goes up and down."""

    learning_rate: float = Field(default=1e-3, gt=0.0, description="Peak rate.")
    schedule: Literal["cosine", "published", "constant"] = Field(
        default="cosine",
        description="cosine: up in a line, then down along a cosine to 2 %. published: the released program's steps of "
        "×0.001, ×0.01 and ×0.1 for 10,000 steps each, then ×1. constant.",
    )
    warmup_steps: int = Field(default=100, ge=0, description="Steps until the peak, of cosine.")
    weight_decay: float = Field(default=0.0, ge=0.0, description="Of AdamW.")
    epsilon: float = Field(
        default=1e-8,
        gt=0.0,
        description="Of AdamW: gradients well below it hardly move a parameter; at the default their rounding does.",
    )
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0, description="Of AdamW.")
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0, description="Of AdamW.")
    amsgrad: bool = Field(default=True, description="As the released program.")
    clip_norm: float | None = Field(default=10.0, gt=0.0, description="Largest norm of a gradient; off: any.")
    accumulate: Count = Field(default=1, description="Steps of data in one step of the optimiser.")

    def scale(self, step: int, *, steps: int) -> float:
        """Give the factor of the peak rate at a step of a run of so many."""
        if self.schedule == "cosine":
            return warmup_cosine(step, warmup_steps=self.warmup_steps, total_steps=steps)
        return published_staircase(step) if self.schedule == "published" else 1.0


class FitSettings(Settings):
    """Length and pace of a run."""

    steps: Count = Field(
        description="Steps of data in all; each accumulate of them are one of the optimiser."
    )
    optimiser: OptimiserSettings = Field(
        default_factory=OptimiserSettings, description="AdamW and its learning rate."
    )
    ema_decay: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="Of the moving average of the parameters that is exported; 0: none is kept.",
    )
    bfloat16: bool = Field(default=False, description="Compute forwards in bfloat16 where that is safe.")
    compiled: bool = Field(default=False, description="Compile the networks; needs a C++ compiler.")
    channels_last: bool = Field(
        default=True,
        description="Lay the weights of convolutions out channels last, which their kernels run faster on; off: as "
        "PyTorch does by itself.",
    )
    checkpoint_steps: Count = Field(default=500, description="Steps between checkpoints.")
    keep_checkpoints: Count = Field(default=2, description="Newest checkpoints that stay.")
    log_steps: Count = Field(default=50, description="Steps between lines of the metrics.")
    prefetch: Count = Field(default=2, description="Steps whose data is read ahead.")

    @model_validator(mode="after")
    def _end_whole(self) -> Self:
        for name in ("steps", "checkpoint_steps"):
            if getattr(self, name) % self.optimiser.accumulate:
                raise ConfigError(
                    f"training setting {name}",
                    expected=f"a multiple of the {self.optimiser.accumulate} steps that are accumulated",
                    found=str(getattr(self, name)),
                )
        return self


class QuerySettings(Settings):
    """What steers the separator, and which part of it is trained."""

    kind: ConditionKind = Field(
        default="soft", description="Bottleneck: one class alone, class probabilities, or an embedding."
    )
    trunk: Literal["frozen", "finetuned", "scratch", "random", "foreign"] = Field(
        default="frozen",
        description="What makes the bottleneck. frozen: the tagger that mined, whose bottlenecks are stored with the "
        "anchors. finetuned: a copy of it that is trained with the separator. scratch: a network that begins with "
        "random parameters and is trained with the separator. random: such a network that stays as it is. foreign: the "
        "tagger of query_weights, made for something else, which stays as it is; of kind latent.",
    )
    network: TaggerConfig | None = Field(
        default=None,
        description="Of a trunk from scratch or a random one; off: one like the tagger that mined.",
    )
    adaptor: AdaptorConfig | None = Field(
        default=None,
        description="Two layers between bottleneck and condition, trained with the separator; off: none.",
    )
    shortcut: bool = Field(
        default=False,
        description="Let the frozen tagger's bottleneck stand in the condition behind what is learned.",
    )
    mean_anchors: Count = Field(
        default=100, description="Anchors that a class mean is taken over, of a trunk that was trained."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        has_trunk = self.trunk != "frozen"
        checks = (
            (
                "network",
                self.network is None or self.trunk in ("scratch", "random"),
                "off where the trunk is not from scratch",
            ),
            ("trunk", not has_trunk or self.kind != "hard", "frozen: no network makes a class alone"),
            ("kind", self.trunk != "foreign" or self.kind == "latent", "latent: its classes are others"),
            (
                "shortcut",
                not self.shortcut or has_trunk or self.adaptor is not None,
                "off without an adaptor or a trunk of its own",
            ),
        )
        for name, holds, expected in checks:
            if not holds:
                raise ConfigError(
                    f"training setting query.{name}", expected=expected, found=str(getattr(self, name))
                )
        return self

    @property
    def trunk_stays(self) -> bool:
        """Whether the trunk runs in the step, and is not trained."""
        return self.trunk in ("random", "foreign")

    @property
    def stored(self) -> ConditionKind | None:
        """Which bottlenecks must be stored with the anchors."""
        needed = self.kind != "hard" and (self.trunk == "frozen" or self.shortcut)
        return self.kind if needed else None


class SeparatorRecipe(Settings):
    """How a separator is trained."""

    name: str = Field(min_length=1, description="Name of the weights.")
    fit: FitSettings = Field(description="Length and pace.")
    plan: PlanSettings = Field(default_factory=PlanSettings, description="Which anchors make up a step.")
    mixtures: MixtureSettings = Field(
        default_factory=MixtureSettings, description="What the items are made of."
    )
    augmentation: AugmentationSettings = Field(
        default_factory=AugmentationSettings, description="How sources are changed."
    )
    loss: LossSettings = Field(default_factory=LossSettings, description="What is made small.")
    query: QuerySettings = Field(default_factory=QuerySettings, description="What steers the separator.")
    separator: SeparatorConfig = Field(
        default_factory=ResUNetConfig, description="The network that separates."
    )
    samples: Count | None = Field(
        default=None,
        description="Length of an item; off: that of the anchors. The frames of an STFT of 63,000 samples at hop 1000 "
        "fill its pooling exactly.",
    )
    leaf_draws: Count = Field(
        default=1,
        description="How often a class without trained classes below it stands in a round of draws; the others once.",
    )
    settle_batches: Count = Field(
        default=200,
        description="Steps of data that the norm statistics of exported weights are taken from.",
    )


class TaggerRecipe(Settings):
    """How a tagger is trained."""

    name: str = Field(min_length=1, description="Name of the weights.")
    fit: FitSettings = Field(description="Length and pace.")
    plan: PlanSettings = Field(
        default_factory=lambda: PlanSettings(lanes=1), description="Which clips make up a step."
    )
    tagger: PannsConfig = Field(default_factory=PannsConfig, description="The network.")
    balanced: bool = Field(
        default=False, description="Draw a clip of each class in turn; otherwise any clip is as likely."
    )
    crop_seconds: tuple[float, float] | None = Field(
        default=None,
        description="Range of lengths of the excerpts that are heard, one length a lane and step; off: whole clips.",
    )
    anchor_share: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="How often a lane's part of a step is anchors in place of clips.",
    )
    unknown: Literal["heard", "labels"] = Field(
        default="heard",
        description="What counts neither way in an anchor, beside its own class. heard: other labels of its clip, and "
        "classes that the detector did not rule out. labels: labels alone, where clips have all of theirs, or a "
        "detector of few classes hears a little of each everywhere.",
    )
    overlapped: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Share of clips that another one is added to, with its labels.",
    )
    overlap_range_db: float = Field(
        default=10.0,
        ge=0.0,
        description="The level of the other one lies so many dB around the first, evenly.",
    )
    augmentation: AugmentationSettings = Field(
        default_factory=AugmentationSettings, description="How clips and anchors are changed."
    )
    mixup: bool = Field(
        default=False,
        description="Blend pairs of log-mel spectrograms and their labels, as PANNs (Zhang et al. 2018, alpha 1).",
    )
    masked: bool = Field(
        default=True, description="Mask random bands of time and frequency (SpecAugment, Park et al. 2019)."
    )

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.crop_seconds is not None and not 0 < self.crop_seconds[0] <= self.crop_seconds[1]:
            raise ConfigError(
                "training setting crop_seconds",
                expected="the shorter length first, above 0",
                found=" ".join(f"{seconds:g}" for seconds in self.crop_seconds),
            )
        return self


def _check_sum(item: str, *shares: float) -> None:
    total = sum(shares)
    if abs(total - 1.0) > _SUM_TOLERANCE:
        raise ConfigError(item, expected="a sum of 1", found=f"{total:g}")
