"""Sizes of separators and adaptors. Without torch, for recipes and command lines read them where no network is."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from uss_ray.config import Count, Settings
from uss_ray.errors import ConfigError
from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.panns_settings import PannsConfig


class FilmSettings(Settings):
    """How a condition steers the layers of a separator."""

    kind: Literal["shift", "scale-shift"] = Field(
        default="shift",
        description="What is done to a channel: a shift, as in the paper, or a scale and a shift.",
    )
    framewise: bool = Field(
        default=False,
        description="Let shift and scale follow when the wanted class is heard in the mixture, by the frames of the "
        "detector.",
    )


class _UNetConfig(Settings):
    """Size and geometry of a U-Net on spectrograms."""

    architecture: str
    condition_size: Count = Field(default=527, description="Length of a condition.")
    channels: tuple[Count, ...] = Field(
        default=(32, 64, 128, 256, 384, 384),
        min_length=2,
        description="Output channels of the encoder stages. All stages but the last halve time and frequency, the last "
        "one frequency only.",
    )
    bottleneck_channels: Count = 384
    stem_channels: Count = Field(default=32, description="Channels of the 1×1 convolution in front.")
    blocks_per_stage: Count = Field(
        default=1, description="Blocks in each stage; 2 makes a ResUNet60 of a ResUNet30."
    )
    film: FilmSettings = Field(
        default_factory=FilmSettings, description="How the condition steers the layers."
    )
    film_places: Literal["all", "bottleneck"] = Field(
        default="all", description="Which layers: all, as in the paper, or those of the deepest stage only."
    )
    passes: Count = Field(
        default=1,
        description="How often the network hears the mixture; from the second time on it also sees its last mask.",
    )
    window_samples: Count = 2048
    hop_samples: Count = 320
    sample_rate: Count = Field(default=32000, description="In Hz.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.window_samples // 2) % 2 ** len(self.channels):
            raise ConfigError(
                "separator window_samples",
                expected=f"half of it divisible by {2 ** len(self.channels)} for {len(self.channels)} stages",
                found=str(self.window_samples),
            )
        return self

    @property
    def time_pooling(self) -> int:
        """Frames that become one at the deepest stage."""
        return int(2 ** (len(self.channels) - 1))


class ResUNetConfig(_UNetConfig):
    """Size and geometry of a residual U-Net; the defaults are the paper's ResUNet30."""

    architecture: Literal["resunet"] = "resunet"


class _BandsConfig(Settings):
    """How the bins of an STFT are brought together."""

    band_widths: tuple[Count, ...]
    bands_of_width: tuple[Count, ...]
    window_samples: Count

    def _check_bands(self, item: str) -> None:
        widths, counts = self.band_widths, self.bands_of_width
        bins = sum(width * bands for width, bands in zip(widths, counts, strict=False))
        if len(counts) != len(widths) or bins != self.window_samples // 2:
            raise ConfigError(
                f"{item} bands_of_width",
                expected=f"{len(widths)} numbers of bands that hold {self.window_samples // 2} bins",
                found=f"{counts}, {bins} bins",
            )


class BandedResUNetConfig(_UNetConfig, _BandsConfig):
    """Size and geometry of a residual U-Net on bands that get wider with frequency."""

    architecture: Literal["banded-resunet"] = "banded-resunet"
    band_widths: tuple[Count, ...] = Field(
        default=(1, 2, 4, 8), description="Bins in a band, from the lowest bands to the highest."
    )
    bands_of_width: tuple[Count, ...] = Field(
        default=(128, 64, 64, 64), description="How many bands there are of each width."
    )

    @model_validator(mode="after")
    def _check_banded(self) -> Self:
        self._check_bands("banded ResUNet")
        if sum(self.bands_of_width) % 2 ** len(self.channels):
            raise ConfigError(
                "banded ResUNet bands_of_width",
                expected=f"a sum divisible by {2 ** len(self.channels)} for {len(self.channels)} stages",
                found=f"{sum(self.bands_of_width)}",
            )
        return self


class UNetConfig(_UNetConfig):
    """Size and geometry of a U-Net without residual connections; the defaults are those of the ResUNet30."""

    architecture: Literal["unet"] = "unet"


class ConvTasNetConfig(Settings):
    """Size of a Conv-TasNet; the defaults are the best of the paper, with a kernel of 1 ms at 32 kHz."""

    architecture: Literal["conv-tasnet"] = "conv-tasnet"
    condition_size: Count = Field(default=527, description="Length of a condition.")
    kernel_samples: Count = Field(default=32, description="Length of the learned filters; even.")
    filters: Count = Field(default=512, description="Learned filters of encoder and decoder.")
    channels: Count = Field(default=128, description="Channels between the blocks.")
    hidden_channels: Count = Field(default=512, description="Channels in a block.")
    stack_blocks: Count = Field(default=8, description="Blocks in a stack; each doubles the dilation.")
    stacks: Count = 3
    film: FilmSettings = Field(
        default_factory=FilmSettings, description="How the condition steers the blocks."
    )
    sample_rate: Count = Field(default=32000, description="In Hz.")

    @model_validator(mode="after")
    def _check(self) -> ConvTasNetConfig:
        _check_even("Conv-TasNet kernel_samples", self.kernel_samples)
        return self


class BandSplitConfig(_BandsConfig):
    """Size of a band-split transformer, whose trunk hears a mixture once and whose head runs for each target."""

    architecture: Literal["band-split"] = "band-split"
    condition_size: Count = Field(default=527, description="Length of a condition.")
    band_widths: tuple[Count, ...] = Field(
        default=(4, 8, 16, 32), description="Bins in a band, from the lowest bands to the highest."
    )
    bands_of_width: tuple[Count, ...] = Field(
        default=(32, 16, 16, 16), description="How many bands there are of each width."
    )
    channels: Count = Field(default=128, description="Features of a band in a frame.")
    hidden_channels: Count = Field(default=384, description="In the feed-forward parts.")
    heads: Count = Field(default=4, description="Of attention; divides the channels.")
    kernel_size: Count = Field(default=5, description="Of the local convolutions; odd.")
    trunk_blocks: Count = Field(default=4, description="Blocks that hear the mixture alone.")
    head_blocks: Count = Field(default=1, description="Blocks that run for each target.")
    film: FilmSettings = Field(
        default_factory=lambda: FilmSettings(kind="scale-shift"),
        description="How the condition steers the head.",
    )
    window_samples: Count = 2048
    hop_samples: Count = 512
    sample_rate: Count = Field(default=32000, description="In Hz.")

    @model_validator(mode="after")
    def _check(self) -> BandSplitConfig:
        self._check_bands("band-split")
        checks = (
            ("heads", self.channels % self.heads == 0, f"a divisor of {self.channels}", self.heads),
            ("kernel_size", self.kernel_size % 2 == 1, "an odd number", self.kernel_size),
        )
        for name, holds, expected, found in checks:
            if not holds:
                raise ConfigError(f"band-split {name}", expected=expected, found=str(found))
        return self


class OpenUnmixConfig(Settings):
    """Size of an Open-Unmix; the defaults are the published ones, at 32 kHz."""

    architecture: Literal["open-unmix"] = "open-unmix"
    condition_size: Count = Field(default=527, description="Length of a condition.")
    hidden_channels: Count = Field(default=512, description="Of the recurrent layers, both directions; even.")
    layers: Count = Field(default=3, description="Recurrent layers.")
    film: FilmSettings = Field(
        default_factory=FilmSettings, description="How the condition steers what lies around them."
    )
    window_samples: Count = 2048
    hop_samples: Count = 512
    sample_rate: Count = Field(default=32000, description="In Hz.")

    @model_validator(mode="after")
    def _check(self) -> OpenUnmixConfig:
        _check_even("Open-Unmix hidden_channels", self.hidden_channels)
        return self


class AdaptorConfig(Settings):
    """Size of the adaptor: two linear layers."""

    architecture: Literal["two-layer"] = "two-layer"
    bottleneck_size: Count = 527
    hidden_size: Count = 2048
    condition_size: Count = 2048


def _check_even(item: str, value: int) -> None:
    if value % 2:
        raise ConfigError(item, expected="an even number", found=str(value))


SeparatorConfig = Annotated[
    ResUNetConfig | BandedResUNetConfig | UNetConfig | OpenUnmixConfig | ConvTasNetConfig | BandSplitConfig,
    Field(discriminator="architecture"),
]
"""Type of a setting that chooses a separator."""

TaggerConfig = Annotated[PannsConfig | HtsatConfig, Field(discriminator="architecture")]
"""Type of a setting that chooses a tagger."""
