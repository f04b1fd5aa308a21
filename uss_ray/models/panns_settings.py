"""Sizes and front ends of the taggers of the PANNs family. Without torch, for recipes and command lines read them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from uss_ray.config import Count, Settings
from uss_ray.errors import ConfigError


class FrontEndConfig(Settings):
    """Geometry of a log-mel spectrogram, common to the taggers that read one."""

    sample_rate: Count = Field(default=32000, description="In Hz.")
    window_samples: Count = 1024
    hop_samples: Count = 320
    mel_bins: Count = 64
    min_hertz: float = Field(
        default=50.0, strict=True, ge=0.0, description="Lower edge of the lowest filter."
    )
    max_hertz: float = Field(
        default=14000.0, strict=True, ge=0.0, description="Upper edge of the highest one."
    )

    @property
    def frames_per_second(self) -> float:
        """Rate of the frames, and of frame-wise probabilities."""
        return self.sample_rate / self.hop_samples


class PannsConfig(FrontEndConfig):
    """Size and geometry of a tagger; the defaults are the published Cnn14."""

    architecture: Literal["panns"] = "panns"
    classes: Count = 527
    block_channels: tuple[Count, ...] = Field(
        default=(64, 128, 256, 512, 1024, 2048),
        min_length=1,
        description="Output channels of the convolution blocks. All but the last pool by 2×2.",
    )
    convs_per_block: Count = Field(default=2, le=2, description="Convolutions in a block; Cnn6 has one.")
    kernel_size: Count = Field(default=3, description="Odd.")
    embedding_size: Count = 2048
    head: Literal["clip", "frame"] = Field(
        default="clip",
        description="clip: pool over time before the classifier (a tagger); frame: classify each frame (a detector).",
    )
    pooling: Literal["max", "linear_softmax"] = Field(
        default="max",
        description="How a frame head makes clip-wise of frame-wise probabilities: the largest, or their mean weighted "
        "by themselves (Wang, Li and Metze 2019), which locates events better when trained on weak labels.",
    )
    block_dropout: float = Field(default=0.2, strict=True, ge=0.0, le=1.0, description="After each block.")
    head_dropout: float = Field(
        default=0.5, strict=True, ge=0.0, le=1.0, description="Before each linear layer."
    )

    @field_validator("kernel_size")
    @classmethod
    def _is_odd(cls, kernel_size: int) -> int:
        if kernel_size % 2 == 0:
            raise ConfigError("tagger kernel_size", expected="an odd number", found=str(kernel_size))
        return kernel_size

    @property
    def time_pooling(self) -> int:
        """Spectrogram frames in one frame of the head."""
        return int(2 ** (len(self.block_channels) - 1))
