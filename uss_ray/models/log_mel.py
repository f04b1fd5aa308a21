"""The front end of the taggers: waveform to log-mel spectrogram."""

from __future__ import annotations

from typing import Protocol

import torch
import torchaudio
from torch import Tensor, nn

from uss_ray.models.stft import Stft

POWER_FLOOR = 1e-10


class FrontEnd(Protocol):
    """Geometry of a log-mel spectrogram; the configurations of the taggers have it."""

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms in Hz."""
        ...

    @property
    def window_samples(self) -> int:
        """Length of the analysis window."""
        ...

    @property
    def hop_samples(self) -> int:
        """Step between frames."""
        ...

    @property
    def mel_bins(self) -> int:
        """Number of mel filters."""
        ...

    @property
    def min_hertz(self) -> float:
        """Lower edge of the lowest filter."""
        ...

    @property
    def max_hertz(self) -> float:
        """Upper edge of the highest filter."""
        ...


class LogMel(nn.Module):
    """Log-mel spectrogram in dB, as PANNs and HTS-AT use it: Slaney filters, power floor 1e-10.

    Parameters
    ----------
    config : FrontEnd
    """

    filters: Tensor

    def __init__(self, config: FrontEnd) -> None:
        super().__init__()
        self.stft = Stft(window_samples=config.window_samples, hop_samples=config.hop_samples)
        filters = torchaudio.functional.melscale_fbanks(
            self.stft.bins,
            config.min_hertz,
            config.max_hertz,
            config.mel_bins,
            config.sample_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        # Stored with the weights: published files bring the very matrix they were trained with.
        self.register_buffer("filters", filters)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map waveforms of shape (..., samples) to (..., frames, mel_bins)."""
        # Half precision would cut the quiet bands' dynamic range, so the front end is left out of autocast.
        with torch.autocast(waveform.device.type, enabled=False):
            power = torch.view_as_real(self.stft(waveform)).square().sum(-1)
            return 10.0 * torch.log10((power @ self.filters).clamp(min=POWER_FLOOR))
