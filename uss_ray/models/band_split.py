"""A separator whose trunk hears the mixture once, and whose small head runs for each target: a band-split transformer.

Bins are brought together in bands; blocks look across the bands of a frame, then along the frames of a band.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uss_ray.models.conditioned import SpectralSeparator
from uss_ray.models.film import Film, Modulation
from uss_ray.models.network_settings import BandSplitConfig
from uss_ray.models.resunet import complex_mask

_POWER_FLOOR = 1e-10
_COMPRESSION = 0.5
_MAPS = 3


class _BandLinear(nn.Module):
    """A linear map of its own for each band; bands of one width are one product."""

    def __init__(self, config: BandSplitConfig, *, to_bands: bool) -> None:
        super().__init__()
        self.to_bands = to_bands
        self.counts, self.widths = config.bands_of_width, config.band_widths
        bins = [0]
        for count, width in zip(self.counts, self.widths, strict=True):
            bins.append(bins[-1] + count * width)
        self.stretches = tuple(pairwise(bins))
        shapes = [
            (2 * width, config.channels) if to_bands else (config.channels, _MAPS * width)
            for width in self.widths
        ]
        self.weights = nn.ParameterList(
            torch.randn(count, *shape) / shape[0] ** 0.5
            for count, shape in zip(self.counts, shapes, strict=True)
        )
        self.biases = nn.ParameterList(
            torch.zeros(count, shape[1]) for count, shape in zip(self.counts, shapes, strict=True)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, frames, bins, 2) to (batch, frames, bands, channels), or such to (batch, frames, bins, 3)."""
        made, first = [], 0
        groups = zip(self.counts, self.widths, self.stretches, self.weights, self.biases, strict=True)
        for count, width, (start, stop), weight, bias in groups:
            if self.to_bands:
                part = maps[:, :, start:stop].reshape(*maps.shape[:2], count, 2 * width)
            else:
                part = maps[:, :, first : first + count]
            mapped = torch.einsum("btni,nio->btno", part, weight) + bias
            made.append(mapped if self.to_bands else mapped.reshape(*maps.shape[:2], count * width, _MAPS))
            first += count
        return torch.cat(made, dim=2)


class _Path(nn.Module):
    """Attention and a convolutional feed-forward part along one axis."""

    def __init__(self, config: BandSplitConfig) -> None:
        super().__init__()
        channels, hidden = config.channels, config.hidden_channels
        self.heads = config.heads
        self.norm_attention = nn.LayerNorm(channels)
        self.queries = nn.Linear(channels, 3 * channels)
        self.attended = nn.Linear(channels, channels)
        self.norm_local = nn.LayerNorm(channels)
        self.up = nn.Linear(channels, 2 * hidden)
        self.local = nn.Conv1d(
            hidden, hidden, config.kernel_size, padding=config.kernel_size // 2, groups=hidden
        )
        self.down = nn.Linear(hidden, channels)

    def forward(self, rows: Tensor) -> Tensor:
        """Map (rows, length, channels) to the same shape."""
        heads = self.queries(self.norm_attention(rows)).unflatten(-1, (3, self.heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        rows = rows + self.attended(attended)
        inner, gate = self.up(self.norm_local(rows)).chunk(2, dim=-1)
        inner = self.local(inner.transpose(1, 2)).transpose(1, 2)
        return rows + self.down(F.silu(inner) * gate)


class _Block(nn.Module):
    """Across the bands of each frame, then along the frames of each band."""

    def __init__(self, config: BandSplitConfig) -> None:
        super().__init__()
        self.across = _Path(config)
        self.along = _Path(config)

    def forward(self, features: Tensor, steered: tuple[Modulation, ...] = ()) -> Tensor:
        """Map (batch, frames, bands, channels) to the same shape, modulated before each path where it is steered."""
        if steered:
            features = _modulate(features, steered[0])
        features = self.across(features.flatten(0, 1)).view(features.shape)
        if steered:
            features = _modulate(features, steered[1])
        turned = features.transpose(1, 2)
        return self.along(turned.flatten(0, 1)).view(turned.shape).transpose(1, 2)


class BandSplit(SpectralSeparator[BandSplitConfig]):
    """Separate the source that a condition describes.

    Parameters
    ----------
    config : BandSplitConfig

    Notes
    -----
    After the division of work of Saijo et al. 2024 (arXiv:2410.23987, where queries are tokens of one transformer;
    here a condition steers a head by FiLM) and the local convolutions of arXiv:2408.03440. The mixture is scaled to one
    level and its magnitudes are compressed, so that the mask does not depend on how loud it is.
    """

    def __init__(self, config: BandSplitConfig) -> None:
        super().__init__(config)
        self.split = _BandLinear(config, to_bands=True)
        self.trunk = nn.ModuleList(_Block(config) for _ in range(config.trunk_blocks))
        self.head = nn.ModuleList(_Block(config) for _ in range(config.head_blocks))
        self.film = Film(
            condition_size=config.condition_size,
            layer_channels=[config.channels] * (2 * config.head_blocks),
            settings=config.film,
        )
        self.norm = nn.LayerNorm(config.channels)
        self.join = _BandLinear(config, to_bands=False)
        for bias in self.join.biases:  # the mixture's own phase, to begin with
            bias.data.unflatten(1, (-1, _MAPS))[..., 1] = 1.0

    def listen(self, spectrogram: Tensor) -> Tensor:
        """Hear a mixture, whatever will be asked for.

        Parameters
        ----------
        spectrogram : Tensor of shape (batch, 1, frames, bins), dtype=complex64
            STFT of the mixture.

        Returns
        -------
        Tensor of shape (batch, frames, bands, channels)
        """
        parts = torch.view_as_real(spectrogram.squeeze(1))[:, :, :-1]
        power = parts.square().sum(-1, keepdim=True)
        level = power.mean(dim=(1, 2, 3), keepdim=True).clamp(min=_POWER_FLOOR)
        loudness = (power / level).clamp(min=_POWER_FLOOR).pow((_COMPRESSION - 1) / 2)
        features: Tensor = self.split(parts * level.rsqrt() * loudness)
        for block in self.trunk:
            features = block(features)
        return features

    def masks_of(self, features: Tensor, condition: Tensor, activity: Tensor | None = None) -> Tensor:
        """Estimate the complex mask of the wanted source in what was heard.

        Parameters
        ----------
        features : Tensor of shape (batch, frames, bands, channels)
            Of `listen`.
        condition : Tensor of shape (batch, condition_size)
        activity : Tensor of shape (batch, any frames), optional
            When the wanted class is heard, in [0, 1], evenly over the time of the spectrogram.

        Returns
        -------
        Tensor of shape (batch, 1, frames, bins), dtype=complex64
            Magnitude in [0, 1]; zero in the topmost bin, which the network does not see.
        """
        steered = self.film(condition, activity)
        for number, block in enumerate(self.head):
            features = block(features, steered[2 * number : 2 * number + 2])
        maps = self.join(self.norm(features)).float()
        gain, (real, imag) = torch.sigmoid(maps[..., 0]), torch.tanh(maps[..., 1:]).unbind(-1)
        return F.pad(complex_mask(gain, real, imag), (0, 1)).unsqueeze(1)

    def masks(self, spectrogram: Tensor, condition: Tensor, activity: Tensor | None = None) -> Tensor:
        """See `SpectralSeparator`; spectrograms are heard and masks made of them, in pairs with conditions."""
        return self.masks_of(self.listen(spectrogram), condition, activity)


def _modulate(features: Tensor, modulation: Modulation) -> Tensor:
    return modulation(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
