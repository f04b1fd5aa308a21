"""A separator in the time domain: Conv-TasNet, steered by a condition.

Maps (mixture, condition) to a waveform. It has no spectrogram and so no masks that others could combine.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torchaudio.models import ConvTasNet as Network

from uss_ray.config import Count, Settings
from uss_ray.errors import ConfigError
from uss_ray.models.film import Film


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


class ConvTasNet(nn.Module):
    """Separate the source that a condition describes.

    Parameters
    ----------
    config : ConvTasNetConfig

    Notes
    -----
    Luo and Mesgarani 2019, "Conv-TasNet", not causal, with one output; a FiLM shift before each block.
    """

    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__()
        self.config = config
        self.network = Network(
            num_sources=1,
            enc_kernel_size=config.kernel_samples,
            enc_num_feats=config.filters,
            msk_num_feats=config.channels,
            msk_num_hidden_feats=config.hidden_channels,
            msk_num_layers=config.stack_blocks,
            msk_num_stacks=config.stacks,
        )
        blocks = config.stack_blocks * config.stacks
        self.film = Film(condition_size=config.condition_size, layer_channels=[config.channels] * blocks)

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms in Hz."""
        return self.config.sample_rate

    @property
    def condition_size(self) -> int:
        """Length of a condition."""
        return self.config.condition_size

    def forward(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """Separate.

        Parameters
        ----------
        mixture : Tensor of shape (batch, samples)
        condition : Tensor of shape (batch, condition_size)

        Returns
        -------
        Tensor of shape (batch, samples)
        """
        samples = mixture.shape[-1]
        padded = F.pad(mixture, (0, -samples % self.network.enc_stride)).unsqueeze(1)
        features = self.network.encoder(padded)
        estimate: Tensor = self.network.decoder(features * self._feature_mask(features, condition))
        return estimate.squeeze(1)[:, :samples]

    def _feature_mask(self, features: Tensor, condition: Tensor) -> Tensor:
        """Run the blocks as torchaudio's own forward does, with a shift before each."""
        generator = self.network.mask_generator
        maps = generator.input_conv(generator.input_norm(features))
        skipped = maps.new_zeros(())
        for block, shift in zip(generator.conv_layers, self.film(condition), strict=True):
            residual, skip = block(maps + shift.squeeze(-1))
            skipped = skipped + skip
            maps = maps if residual is None else maps + residual
        return generator.mask_activate(generator.output_conv(generator.output_prelu(skipped)))
