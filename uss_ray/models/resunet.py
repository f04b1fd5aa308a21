"""The separator: a residual U-Net on spectrograms, steered by a condition.

Maps (mixture, condition) to a complex mask and to a waveform. It knows nothing of classes, segments or files.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uss_ray.models.film import Film
from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.stft import Stft

_NORM_MOMENTUM = 0.01
_LEAK = 0.01
_POWER_FLOOR = 1e-10
_PHASE_FLOOR = 1e-10


class _ShiftedNorm(nn.BatchNorm2d):
    """Batch norm, plus the FiLM shift of its layer, then a leaky ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=_NORM_MOMENTUM)

    def activate(self, maps: Tensor, shift: Tensor) -> Tensor:
        if self.training or self.running_mean is None or self.running_var is None:
            return F.leaky_relu_(self(maps) + shift, _LEAK)
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        offset = (self.bias - self.running_mean * scale)[None, :, None, None] + shift
        return F.leaky_relu_(torch.addcmul(offset, maps, scale[None, :, None, None]), _LEAK)


class ResidualBlock(nn.Module):
    """Two shifted norms, each before a 3×3 convolution, and a shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = _ShiftedNorm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = _ShiftedNorm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def shift_channels(self) -> list[int]:
        """Return the channels of each shifted norm, in the order of use."""
        return [self.norm1.num_features, self.norm2.num_features]

    def forward(self, maps: Tensor, shifts: Iterator[Tensor]) -> Tensor:
        """Map (batch, in_channels, frames, bins) to (batch, out_channels, frames, bins), taking two shifts."""
        inner = self.conv1(self.norm1.activate(maps, next(shifts)))
        inner = self.conv2(self.norm2.activate(inner, next(shifts)))
        return inner + (maps if self.shortcut is None else self.shortcut(maps))


class _Stage(nn.Module):
    """A run of residual blocks."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ResidualBlock(in_channels if index == 0 else out_channels, out_channels)
            for index in range(blocks)
        )

    def shift_channels(self) -> list[int]:
        return [channels for block in self._blocks() for channels in block.shift_channels()]

    def _blocks(self) -> Iterator[ResidualBlock]:
        for block in self.blocks:
            assert isinstance(block, ResidualBlock)  # ModuleList forgets the type of what it holds
            yield block

    def forward(self, maps: Tensor, shifts: Iterator[Tensor]) -> Tensor:
        for block in self.blocks:
            maps = block(maps, shifts)
        return maps


class UpConvolution(nn.ConvTranspose2d):
    """A transposed convolution whose kernels do not overlap: each position becomes a tile."""

    def __init__(self, in_channels: int, out_channels: int, scale: tuple[int, int]) -> None:
        super().__init__(in_channels, out_channels, scale, stride=scale, bias=False)

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (batch, in_channels, frames, bins) to (batch, out_channels, frames × scale, bins × scale)."""
        if not maps.is_cuda:
            return super().forward(maps, output_size)
        # The same as a product. Those kernels of cuDNN that always give the same bits take twice the time for all of
        # a ResUNet30 (docs/log.md).
        batch, _, frames, bins = maps.shape
        high, wide = self.weight.shape[2:]
        matrix = self.weight.permute(2, 3, 1, 0).reshape(-1, self.in_channels)
        tiles = F.linear(maps.permute(0, 2, 3, 1), matrix).view(batch, frames, bins, high, wide, -1)
        spread = tiles.permute(0, 1, 3, 2, 4, 5).reshape(batch, frames * high, bins * wide, -1)
        return spread.permute(0, 3, 1, 2)


class _UpStage(nn.Module):
    """Up-convolution, the encoder's maps beside it, and a stage."""

    def __init__(self, in_channels: int, out_channels: int, scale: tuple[int, int], blocks: int) -> None:
        super().__init__()
        self.norm = _ShiftedNorm(in_channels)
        self.up = UpConvolution(in_channels, out_channels, scale)
        self.stage = _Stage(2 * out_channels, out_channels, blocks)

    def shift_channels(self) -> list[int]:
        return [self.norm.num_features, *self.stage.shift_channels()]

    def forward(self, maps: Tensor, skipped: Tensor, shifts: Iterator[Tensor]) -> Tensor:
        maps = self.up(self.norm.activate(maps, next(shifts)))
        return self.stage(torch.cat((maps, skipped), dim=1), shifts)


class ResUNet(nn.Module):
    """Separate the source that a condition describes.

    Parameters
    ----------
    config : ResUNetConfig

    Notes
    -----
    Kong et al. 2023 (ResUNet30 with FiLM). The network reads the magnitude and gives three maps: a magnitude mask
    (sigmoid) and a phase rotation (two tanh, normalised); together they are one complex mask on the mixture.
    """

    def __init__(self, config: ResUNetConfig) -> None:
        super().__init__()
        self.config = config
        blocks = config.blocks_per_stage
        self.stft = Stft(window_samples=config.window_samples, hop_samples=config.hop_samples)
        self.norm = nn.BatchNorm2d(self.stft.bins, momentum=_NORM_MOMENTUM)
        self.stem = nn.Conv2d(1, config.stem_channels, 1)
        widths = (config.stem_channels, *config.channels)
        self.encoder = nn.ModuleList(_Stage(a, b, blocks) for a, b in pairwise(widths))
        self.bottleneck = _Stage(widths[-1], config.bottleneck_channels, blocks)
        self._scales = [(2, 2)] * (len(config.channels) - 1) + [(1, 2)]
        down = list(reversed(config.channels))
        self.decoder = nn.ModuleList(
            _UpStage(a, b, scale, blocks)
            for a, b, scale in zip(
                (config.bottleneck_channels, *down[:-1]), down, reversed(self._scales), strict=True
            )
        )
        self.head = nn.Conv2d(config.channels[0], 3, 1)
        modulated: list[nn.Module] = [*self.encoder, self.bottleneck, *self.decoder]
        layer_channels = [c for stage in modulated for c in stage.shift_channels()]  # type: ignore[operator]
        self.film = Film(condition_size=config.condition_size, layer_channels=layer_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms in Hz."""
        return self.config.sample_rate

    @property
    def condition_size(self) -> int:
        """Length of a condition."""
        return self.config.condition_size

    @property
    def time_grid_samples(self) -> int:
        """Samples between two positions that the pooling treats alike."""
        return self.config.hop_samples * self.config.time_pooling

    def masks(self, spectrogram: Tensor, condition: Tensor) -> Tensor:
        """Estimate the complex mask of the wanted source.

        Parameters
        ----------
        spectrogram : Tensor of shape (batch, 1, frames, bins), dtype=complex64
            STFT of the mixture.
        condition : Tensor of shape (batch, condition_size)

        Returns
        -------
        Tensor of shape (batch, 1, frames, bins), dtype=complex64
            Magnitude in [0, 1]; zero in the topmost bin, which the network does not see.
        """
        frames = spectrogram.shape[-2]
        power = torch.view_as_real(spectrogram).square().sum(-1)
        magnitude = power.clamp(min=_POWER_FLOOR).sqrt()
        maps = self.norm(magnitude.transpose(1, 3)).transpose(1, 3)
        maps = F.pad(maps[..., :-1], (0, 0, 0, -frames % self.config.time_pooling))
        maps = self.head(self._unet(self.stem(maps), iter(self.film(condition))))[:, :, :frames].float()
        gain, real, imag = torch.sigmoid(maps[:, 0:1]), torch.tanh(maps[:, 1:2]), torch.tanh(maps[:, 2:3])
        gain = gain / (real.square() + imag.square()).clamp(min=_PHASE_FLOOR**2).sqrt()
        return F.pad(torch.complex(gain * real, gain * imag), (0, 1))

    def _unet(self, maps: Tensor, shifts: Iterator[Tensor]) -> Tensor:
        skipped: list[Tensor] = []
        for stage, scale in zip(self.encoder, self._scales, strict=True):
            maps = stage(maps, shifts)
            skipped.append(maps)
            maps = F.avg_pool2d(maps, scale)
        maps = self.bottleneck(maps, shifts)
        for stage in self.decoder:
            maps = stage(maps, skipped.pop(), shifts)
        return maps

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
        spectrogram = self.stft(mixture.unsqueeze(1))
        estimate = self.masks(spectrogram, condition) * spectrogram
        return self.stft.inverse(estimate, samples=mixture.shape[-1]).squeeze(1)
