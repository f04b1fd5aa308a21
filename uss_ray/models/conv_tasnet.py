"""A separator in the time domain: Conv-TasNet, steered by a condition.

Maps (mixture, condition) to a waveform. It has no spectrogram and so no masks that others could combine.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from uss_ray.models.conditioned import ConditionedSeparator
from uss_ray.models.film import Film
from uss_ray.models.network_settings import ConvTasNetConfig


class ConvTasNet(ConditionedSeparator[ConvTasNetConfig]):
    """Separate the source that a condition describes.

    Parameters
    ----------
    config : ConvTasNetConfig

    Notes
    -----
    Luo and Mesgarani 2019, "Conv-TasNet", not causal, with one output; FiLM before each block.
    """

    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__(config)
        self.network = _Network(config)
        blocks = config.stack_blocks * config.stacks
        self.film = Film(
            condition_size=config.condition_size,
            layer_channels=[config.channels] * blocks,
            settings=config.film,
        )

    def forward(self, mixture: Tensor, condition: Tensor, activity: Tensor | None = None) -> Tensor:
        """Separate.

        Parameters
        ----------
        mixture : Tensor of shape (batch, samples)
        condition : Tensor of shape (batch, condition_size)
        activity : Tensor of shape (batch, any frames), optional
            When the wanted class is heard, in [0, 1], evenly over the time of the mixture.

        Returns
        -------
        Tensor of shape (batch, samples)
        """
        samples = mixture.shape[-1]
        padded = F.pad(mixture, (0, -samples % self.network.stride)).unsqueeze(1)
        features = self.network.encoder(padded)
        estimate: Tensor = self.network.decoder(features * self._feature_mask(features, condition, activity))
        return estimate.squeeze(1)[:, :samples]

    def _feature_mask(self, features: Tensor, condition: Tensor, activity: Tensor | None) -> Tensor:
        """Run the blocks, modulated before each."""
        generator = self.network.mask_generator
        maps = generator.input_conv(generator.input_norm(features))
        skipped = maps.new_zeros(())
        for block, modulation in zip(generator.conv_layers, self.film(condition, activity), strict=True):
            residual, skip = block(modulation(maps.unsqueeze(-1)).squeeze(-1))
            skipped = skipped + skip
            maps = maps if residual is None else maps + residual
        return generator.mask_activate(generator.output_conv(generator.output_prelu(skipped)))


class _Network(nn.Module):
    """Encoder, blocks and decoder; the names are those that stand in weights."""

    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__()
        self.stride = config.kernel_samples // 2
        size, stride = config.kernel_samples, self.stride
        self.encoder = nn.Conv1d(1, config.filters, size, stride=stride, padding=stride, bias=False)
        self.mask_generator = _MaskGenerator(config)
        self.decoder = nn.ConvTranspose1d(config.filters, 1, size, stride=stride, padding=stride, bias=False)


class _MaskGenerator(nn.Module):
    def __init__(self, config: ConvTasNetConfig) -> None:
        super().__init__()
        self.input_norm = _global_norm(config.filters)
        self.input_conv = nn.Conv1d(config.filters, config.channels, 1)
        dilations = [2**block for _ in range(config.stacks) for block in range(config.stack_blocks)]
        self.conv_layers = nn.ModuleList(
            _Block(config, dilation=dilation, is_last=place == len(dilations) - 1)
            for place, dilation in enumerate(dilations)
        )
        self.output_prelu = nn.PReLU()
        self.output_conv = nn.Conv1d(config.channels, config.filters, 1)
        self.mask_activate = nn.Sigmoid()


class _Block(nn.Module):
    """A depthwise separable convolution; the last has nothing to hand on but what skips to the end."""

    def __init__(self, config: ConvTasNetConfig, *, dilation: int, is_last: bool) -> None:
        super().__init__()
        hidden = config.hidden_channels
        self.conv_layers = nn.Sequential(
            nn.Conv1d(config.channels, hidden, 1),
            nn.PReLU(),
            _global_norm(hidden),
            nn.Conv1d(hidden, hidden, 3, padding=dilation, dilation=dilation, groups=hidden),
            nn.PReLU(),
            _global_norm(hidden),
        )
        self.res_out = None if is_last else nn.Conv1d(hidden, config.channels, 1)
        self.skip_out = nn.Conv1d(hidden, config.channels, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor | None, Tensor]:
        features = self.conv_layers(maps)
        return None if self.res_out is None else self.res_out(features), self.skip_out(features)


def _global_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(1, channels, eps=1e-8)
