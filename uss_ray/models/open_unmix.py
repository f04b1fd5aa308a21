"""A recurrent separator on spectrograms: Open-Unmix, steered by a condition."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uss_ray.models.conditioned import SpectralSeparator
from uss_ray.models.film import Film
from uss_ray.models.network_settings import OpenUnmixConfig

_POWER_FLOOR = 1e-10
_DROPOUT = 0.4


class OpenUnmix(SpectralSeparator[OpenUnmixConfig]):
    """Separate the source that a condition describes, by a real mask.

    Parameters
    ----------
    config : OpenUnmixConfig

    Notes
    -----
    Stöter et al. 2019, "Open-Unmix: A Reference Implementation for Music Source Separation", with FiLM after the norms
    around the recurrent layers, and a mask in [0, 1] as all others here.
    """

    def __init__(self, config: OpenUnmixConfig) -> None:
        super().__init__(config)
        hidden = config.hidden_channels
        seen = self.stft.bins - 1
        self.norm = nn.BatchNorm2d(seen)
        self.narrow = nn.Conv2d(seen, hidden, 1, bias=False)
        self.norm_narrow = nn.BatchNorm2d(hidden)
        self.recurrent = nn.LSTM(
            hidden,
            hidden // 2,
            num_layers=config.layers,
            bidirectional=True,
            batch_first=True,
            dropout=_DROPOUT if config.layers > 1 else 0.0,
        )
        self.mix = nn.Conv2d(2 * hidden, hidden, 1, bias=False)
        self.norm_mix = nn.BatchNorm2d(hidden)
        self.widen = nn.Conv2d(hidden, seen, 1)
        self.film = Film(
            condition_size=config.condition_size, layer_channels=[hidden, hidden], settings=config.film
        )

    def masks(self, spectrogram: Tensor, condition: Tensor, activity: Tensor | None = None) -> Tensor:
        """See `SpectralSeparator`; the masks are real."""
        first, second = self.film(condition, activity)
        power = torch.view_as_real(spectrogram).square().sum(-1)
        magnitude = power.clamp(min=_POWER_FLOOR).sqrt()[..., :-1]
        maps = self.narrow(self.norm(magnitude.transpose(1, 3)))
        narrowed = torch.tanh(first(self.norm_narrow(maps)))
        heard, _ = self.recurrent(narrowed.squeeze(3).transpose(1, 2))
        both = torch.cat((narrowed, heard.transpose(1, 2).unsqueeze(3)), dim=1)
        mask = torch.sigmoid(self.widen(F.relu(second(self.norm_mix(self.mix(both))))).float())
        mask = F.pad(mask.transpose(1, 3), (0, 1))
        return torch.complex(mask, torch.zeros_like(mask))
