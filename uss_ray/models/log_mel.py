"""The front end of the taggers: waveform to log-mel spectrogram."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from uss_ray.models.mel import mel_filters
from uss_ray.models.panns_settings import FrontEndConfig
from uss_ray.models.stft import Stft

POWER_FLOOR = 1e-10


class LogMel(nn.Module):
    """Log-mel spectrogram in dB, as PANNs and HTS-AT use it: Slaney filters, power floor 1e-10.

    Parameters
    ----------
    config : FrontEndConfig
    """

    filters: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.stft = Stft(
            window_samples=config.window_samples, hop_samples=config.hop_samples, is_inverted=False
        )
        filters = mel_filters(
            bins=self.stft.bins,
            sample_rate=config.sample_rate,
            filters=config.mel_bins,
            min_hertz=config.min_hertz,
            max_hertz=config.max_hertz,
        )
        # Stored with the weights: published files bring the very matrix they were trained with.
        self.register_buffer("filters", filters)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map waveforms of shape (..., samples) to (..., frames, mel_bins)."""
        # Half precision would cut the quiet bands' dynamic range, so the front end is left out of autocast.
        with torch.autocast(waveform.device.type, enabled=False):
            power = torch.view_as_real(self.stft(waveform)).square().sum(-1)
            return 10.0 * torch.log10((power @ self.filters).clamp(min=POWER_FLOOR))
