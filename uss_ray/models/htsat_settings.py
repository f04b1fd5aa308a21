"""Size and geometry of HTS-AT. Without torch, for recipes and command lines read them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from uss_ray.config import Count
from uss_ray.errors import ConfigError
from uss_ray.models.panns_settings import FrontEndConfig


class HtsatConfig(FrontEndConfig):
    """Size and geometry of an HTS-AT; the defaults are the published AudioSet network."""

    architecture: Literal["htsat"] = "htsat"
    classes: Count = 527
    channels: Count = Field(
        default=96, description="Of the first stage; each further stage has twice as many."
    )
    stage_blocks: tuple[Count, ...] = Field(default=(2, 2, 6, 2), min_length=1, description="Of each stage.")
    stage_heads: tuple[Count, ...] = Field(
        default=(4, 8, 16, 32), description="Attention heads of each stage."
    )
    window_patches: Count = Field(default=8, description="Side of an attention window, in tokens.")
    patch_size: Count = Field(default=4, description="Side of the patch of the image that becomes one token.")
    image_size: Count = Field(
        default=256,
        description="Side of the image: image_size / mel_bins stretches of spectrogram above one another.",
    )
    mlp_ratio: Count = Field(
        default=4, description="Hidden width of a block's linear layers, in its channels."
    )
    drop_path: float = Field(
        default=0.1,
        strict=True,
        ge=0.0,
        lt=1.0,
        description="In training, the chance that a block's part is passed by; rises from 0 to this with depth.",
    )
    short_clips: Literal["repeat", "stretch"] = Field(
        default="repeat",
        description="How a clip that is shorter than the image fills it: repeated as often as it fits whole, then "
        "stretched by what is left; or only stretched, which slows a 2 s clip down to a fifth.",
    )

    @model_validator(mode="after")
    def _check(self) -> HtsatConfig:
        grids, grain = self.stage_sides, self.frames_per_column * self.folds
        checks = (
            (
                "stage_heads",
                len(self.stage_heads) == len(grids),
                f"{len(grids)} numbers",
                self.stage_heads,
            ),
            (
                "stage_heads",
                all(self.channels * 2**i % heads == 0 for i, heads in enumerate(self.stage_heads)),
                f"divisors of {self.channels}, {2 * self.channels}, …",
                self.stage_heads,
            ),
            (
                "image_size",
                self.image_size % self.mel_bins == 0 and self.image_size % grain == 0,
                f"a multiple of {self.mel_bins} mel bins and of {grain}",
                self.image_size,
            ),
            (
                "window_patches",
                all(side <= self.window_patches or side % self.window_patches == 0 for side in grids),
                f"a divisor of {', '.join(map(str, grids))}, or more",
                self.window_patches,
            ),
        )
        for name, holds, expected, found in checks:
            if not holds:
                raise ConfigError(f"HTS-AT {name}", expected=expected, found=str(found))
        return self

    @property
    def head(self) -> Literal["frame"]:
        """An HTS-AT always says when: a tagger and a detector in one."""
        return "frame"

    @property
    def embedding_size(self) -> int:
        """Channels of the last stage."""
        return int(self.channels * 2 ** (len(self.stage_blocks) - 1))

    @property
    def folds(self) -> int:
        """Stretches of spectrogram that lie above one another in the image."""
        return max(1, self.image_size // self.mel_bins)

    @property
    def image_frames(self) -> int:
        """Spectrogram frames that fill the image."""
        return self.image_size * self.folds

    @property
    def frames_per_column(self) -> int:
        """Frames of the image in one column of the last stage's tokens."""
        return int(self.patch_size * 2 ** (len(self.stage_blocks) - 1))

    @property
    def stage_sides(self) -> tuple[int, ...]:
        """Side of each stage's grid in tokens."""
        return tuple(
            self.image_size // self.patch_size // 2**stage for stage in range(len(self.stage_blocks))
        )
