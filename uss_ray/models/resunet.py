"""The separator: a U-Net on spectrograms, residual or plain, steered by a condition.

Maps (mixture, condition) to a complex mask and to a waveform. It knows nothing of classes, segments or files.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise, repeat

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uss_ray.models.conditioned import SpectralSeparator
from uss_ray.models.film import Film, Modulation, stretched
from uss_ray.models.network_settings import BandedResUNetConfig, ResUNetConfig, UNetConfig

_NORM_MOMENTUM = 0.01
_LEAK = 0.01
_POWER_FLOOR = 1e-10
_PHASE_FLOOR = 1e-10


class _ModulatedNorm(nn.BatchNorm2d):
    """Batch norm, then what FiLM does to its layer, then a leaky ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=_NORM_MOMENTUM)

    def activate(self, maps: Tensor, modulation: Modulation | None) -> Tensor:
        if self.training or self.running_mean is None or self.running_var is None:
            normed = self(maps)
            return F.leaky_relu_(normed if modulation is None else modulation(normed), _LEAK)
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        offset = (self.bias - self.running_mean * scale)[None, :, None, None]
        scale = scale[None, :, None, None]
        if modulation is not None:
            shift, film_scale = modulation.at(maps.shape[2])
            if film_scale is not None:
                scale, offset = scale * film_scale, offset * film_scale
            offset = offset + shift
        return F.leaky_relu_(torch.addcmul(offset, maps, scale), _LEAK)


class ConvolutionBlock(nn.Module):
    """Two modulated norms, each before a 3×3 convolution, and a shortcut where it is residual."""

    def __init__(self, in_channels: int, out_channels: int, *, residual: bool = True) -> None:
        super().__init__()
        self.norm1 = _ModulatedNorm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = _ModulatedNorm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.residual = residual
        widens = residual and in_channels != out_channels
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if widens else None

    def modulated_channels(self) -> list[int]:
        """Return the channels of each modulated norm, in the order of use."""
        return [self.norm1.num_features, self.norm2.num_features]

    def forward(self, maps: Tensor, steered: Iterator[Modulation | None]) -> Tensor:
        """Map (batch, in_channels, frames, bins) to (batch, out_channels, frames, bins), taking two modulations."""
        inner = self.conv1(self.norm1.activate(maps, next(steered)))
        inner = self.conv2(self.norm2.activate(inner, next(steered)))
        if not self.residual:
            return inner
        return inner + (maps if self.shortcut is None else self.shortcut(maps))


class _Stage(nn.Module):
    """A run of blocks."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int, *, residual: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ConvolutionBlock(in_channels if index == 0 else out_channels, out_channels, residual=residual)
            for index in range(blocks)
        )

    def modulated_channels(self) -> list[int]:
        return [channels for block in self._blocks() for channels in block.modulated_channels()]

    def _blocks(self) -> Iterator[ConvolutionBlock]:
        for block in self.blocks:
            assert isinstance(block, ConvolutionBlock)  # ModuleList forgets the type of what it holds
            yield block

    def forward(self, maps: Tensor, steered: Iterator[Modulation | None]) -> Tensor:
        for block in self.blocks:
            maps = block(maps, steered)
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

    def __init__(
        self, in_channels: int, out_channels: int, scale: tuple[int, int], blocks: int, *, residual: bool
    ) -> None:
        super().__init__()
        self.norm = _ModulatedNorm(in_channels)
        self.up = UpConvolution(in_channels, out_channels, scale)
        self.stage = _Stage(2 * out_channels, out_channels, blocks, residual=residual)

    def modulated_channels(self) -> list[int]:
        return [self.norm.num_features, *self.stage.modulated_channels()]

    def forward(self, maps: Tensor, skipped: Tensor, steered: Iterator[Modulation | None]) -> Tensor:
        maps = self.up(self.norm.activate(maps, next(steered)))
        return self.stage(torch.cat((maps, skipped), dim=1), steered)


def complex_mask(gain: Tensor, real: Tensor, imag: Tensor) -> Tensor:
    """Make a complex mask of its magnitude and of what its phase is the direction of."""
    gain = gain / (real.square() + imag.square()).clamp(min=_PHASE_FLOOR**2).sqrt()
    return torch.complex(gain * real, gain * imag)


UNetSettings = ResUNetConfig | BandedResUNetConfig | UNetConfig
"""Settings of each kind of U-Net."""


class SpectrogramUNet(SpectralSeparator[UNetSettings]):
    """A U-Net on a spectrogram, that separates the source that a condition describes; what its kinds have in common.

    Parameters
    ----------
    config : settings of the network

    Notes
    -----
    The network reads the magnitude and gives three maps: a magnitude mask (sigmoid) and a phase rotation (two tanh,
    normalised); together they are one complex mask on the mixture. With more passes than one, it reads beside the
    magnitude the magnitude mask of the pass before, at first zeros, through which no gradient goes.
    """

    residual: bool

    def __init__(self, config: UNetSettings) -> None:
        super().__init__(config)
        blocks = config.blocks_per_stage
        self.norm = nn.BatchNorm2d(self._heard_rows(), momentum=_NORM_MOMENTUM)
        self.stem = nn.Conv2d(1 if config.passes == 1 else 2, config.stem_channels, 1)
        widths = (config.stem_channels, *config.channels)
        self.encoder = nn.ModuleList(
            _Stage(a, b, blocks, residual=self.residual) for a, b in pairwise(widths)
        )
        self.bottleneck = _Stage(widths[-1], config.bottleneck_channels, blocks, residual=self.residual)
        self._scales = [(2, 2)] * (len(config.channels) - 1) + [(1, 2)]
        down = list(reversed(config.channels))
        self.decoder = nn.ModuleList(
            _UpStage(a, b, scale, blocks, residual=self.residual)
            for a, b, scale in zip(
                (config.bottleneck_channels, *down[:-1]), down, reversed(self._scales), strict=True
            )
        )
        self.head = nn.Conv2d(config.channels[0], 3, 1)
        channels = [
            [c for stage in stages for c in stage.modulated_channels()]  # type: ignore[operator]
            for stages in (self.encoder, [self.bottleneck], self.decoder)
        ]
        everywhere = config.film_places == "all"
        self._unsteered = (0, 0) if everywhere else (len(channels[0]), len(channels[2]))
        self.film = Film(
            condition_size=config.condition_size,
            layer_channels=[*channels[0], *channels[1], *channels[2]] if everywhere else channels[1],
            settings=config.film,
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _heard_rows(self) -> int:
        """Tell how many rows `_hear` gives to the norm."""
        return self.stft.bins

    def _hear(self, magnitude: Tensor) -> Tensor:
        """Norm a magnitude of shape (batch, 1, frames, bins); give as many rows in its last axis as are pooled."""
        return self.norm(magnitude.transpose(1, 3)).transpose(1, 3)[..., :-1]

    def _mask(self, mask: Tensor) -> Tensor:
        """Give a mask over those rows to all bins but the topmost."""
        return mask

    @property
    def time_grid_samples(self) -> int:
        """Samples between two positions that the pooling treats alike."""
        return self.config.hop_samples * self.config.time_pooling

    def masks(self, spectrogram: Tensor, condition: Tensor, activity: Tensor | None = None) -> Tensor:
        """See `SpectralSeparator`; of the last pass."""
        return self._masks_of_passes(spectrogram, condition, activity)[-1]

    def _masks_of_passes(
        self, spectrogram: Tensor, condition: Tensor, activity: Tensor | None
    ) -> list[Tensor]:
        frames = spectrogram.shape[-2]
        power = torch.view_as_real(spectrogram).square().sum(-1)
        magnitude = power.clamp(min=_POWER_FLOOR).sqrt()
        padding = (0, 0, 0, -frames % self.config.time_pooling)
        heard = F.pad(self._hear(magnitude), padding)
        if activity is not None:  # over the time of the frames that are there, not of those that pad them
            stays = F.pad(stretched(activity[:, None, :, None], frames), padding, mode="replicate")
            activity = stays[:, 0, :, 0]
        film, (before, after) = self.film(condition, activity), self._unsteered
        seen = torch.zeros_like(heard)
        made = []
        for _ in range(self.config.passes):
            steered: Iterator[Modulation | None] = chain(repeat(None, before), film, repeat(None, after))
            maps = heard if self.config.passes == 1 else torch.cat((heard, seen), dim=1)
            maps = self.head(self._unet(self.stem(maps), steered))[:, :, :frames].float()
            gain, real, imag = torch.sigmoid(maps[:, 0:1]), torch.tanh(maps[:, 1:2]), torch.tanh(maps[:, 2:3])
            seen = F.pad(gain.detach(), padding)
            made.append(F.pad(self._mask(complex_mask(gain, real, imag)), (0, 1)))
        return made

    def _unet(self, maps: Tensor, steered: Iterator[Modulation | None]) -> Tensor:
        skipped: list[Tensor] = []
        for stage, scale in zip(self.encoder, self._scales, strict=True):
            maps = stage(maps, steered)
            skipped.append(maps)
            maps = F.avg_pool2d(maps, scale)
        maps = self.bottleneck(maps, steered)
        for stage in self.decoder:
            maps = stage(maps, skipped.pop(), steered)
        return maps

    def estimates_of_passes(
        self, mixture: Tensor, condition: Tensor, activity: Tensor | None = None
    ) -> list[Tensor]:
        """Separate; give what came of each pass, for all of them are trained."""
        spectrogram = self.stft(mixture.unsqueeze(1))
        return [
            self.stft.inverse(mask * spectrogram, samples=mixture.shape[-1]).squeeze(1)
            for mask in self._masks_of_passes(spectrogram, condition, activity)
        ]


class ResUNet(SpectrogramUNet):
    """Separate the source that a condition describes, with residual blocks.

    Parameters
    ----------
    config : ResUNetConfig

    Notes
    -----
    Kong et al. 2023 (ResUNet30 with FiLM).
    """

    residual = True

    def __init__(self, config: ResUNetConfig) -> None:
        super().__init__(config)


class BandedResUNet(SpectrogramUNet):
    """A ResUNet that sees, and masks, bands of bins: fewer of them the higher they lie.

    Parameters
    ----------
    config : BandedResUNetConfig

    Notes
    -----
    A convolution costs the same in each row of a spectrogram, and most rows of a linear one lie where hearing resolves
    least. A band is heard as its root mean square, and its bins share a mask; what an ideal mask loses by that is in
    docs/log.md.
    """

    residual = True

    def __init__(self, config: BandedResUNetConfig) -> None:
        self._bands = tuple(zip(config.bands_of_width, config.band_widths, strict=True))
        super().__init__(config)

    def _heard_rows(self) -> int:
        return sum(count for count, _ in self._bands)

    def _hear(self, magnitude: Tensor) -> Tensor:
        level = self.mean_of_bands(magnitude[..., :-1].square()).sqrt()
        return self.norm(level.transpose(1, 3)).transpose(1, 3)

    def mean_of_bands(self, bins: Tensor) -> Tensor:
        """Take the mean over the bins of each band: (..., bins below the topmost) to (..., bands)."""
        groups = bins.split([count * width for count, width in self._bands], dim=-1)
        means = [
            group.unflatten(-1, band).mean(dim=-1) for group, band in zip(groups, self._bands, strict=True)
        ]
        return torch.cat(means, dim=-1)

    def _mask(self, mask: Tensor) -> Tensor:
        groups = mask.split([count for count, _ in self._bands], dim=-1)
        return torch.cat(
            [
                group.repeat_interleave(width, dim=-1)
                for group, (_, width) in zip(groups, self._bands, strict=True)
            ],
            dim=-1,
        )


def in_bands(network: ResUNet, **bands: tuple[int, ...]) -> BandedResUNet:
    """Give a network on bands that begins with the parameters of one on bins.

    Parameters
    ----------
    network : ResUNet
    **bands
        Fields `band_widths` and `bands_of_width` of the settings. Without them, bins up to an eighth of the highest
        frequency, then an octave each of bands of 2, 4 and 8.

    Returns
    -------
    BandedResUNet
        It has no training of its own. What it loses is in docs/adr/0103-bands.md.

    Raises
    ------
    ConfigError
        If the bands do not fit the bins or the stages of the network.
    """
    bins = network.config.window_samples // 2
    octaves = {"band_widths": (1, 2, 4, 8), "bands_of_width": (bins // 8, *(3 * (bins // 16,)))}
    made = BandedResUNet(
        BandedResUNetConfig(**network.config.model_dump(exclude={"architecture"}) | (bands or octaves))
    )
    state = {name: tensor.float() for name, tensor in network.state_dict().items()}
    for name in ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"):
        state[name] = made.mean_of_bands(state[name][:-1])
    state["norm.num_batches_tracked"] = network.norm.num_batches_tracked
    made.load_state_dict(state)
    return made


class UNet(SpectrogramUNet):
    """The same without what makes it residual, to compare it with.

    Parameters
    ----------
    config : UNetConfig
    """

    residual = False

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
