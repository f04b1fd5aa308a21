"""Sizes of separators and adaptors. Without torch, for recipes and command lines read them where no network is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from uss_ray.config import Count, Settings
from uss_ray.errors import ConfigError


class ResUNetConfig(Settings):
    """Size and geometry of a residual U-Net; the defaults are the paper's ResUNet30."""

    architecture: Literal["resunet"] = "resunet"
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
        default=1, description="Residual blocks in each stage; 2 makes a ResUNet60."
    )
    window_samples: Count = 2048
    hop_samples: Count = 320
    sample_rate: Count = Field(default=32000, description="In Hz.")

    @model_validator(mode="after")
    def _check(self) -> ResUNetConfig:
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
    sample_rate: Count = Field(default=32000, description="In Hz.")

    @model_validator(mode="after")
    def _check(self) -> ConvTasNetConfig:
        if self.kernel_samples % 2:
            raise ConfigError(
                "Conv-TasNet kernel_samples", expected="an even number", found=str(self.kernel_samples)
            )
        return self


class AdaptorConfig(Settings):
    """Size of the adaptor: two linear layers."""

    architecture: Literal["two-layer"] = "two-layer"
    bottleneck_size: Count = 527
    hidden_size: Count = 2048
    condition_size: Count = 2048


SeparatorConfig = Annotated[ResUNetConfig | ConvTasNetConfig, Field(discriminator="architecture")]
"""Type of a setting that chooses a separator."""
