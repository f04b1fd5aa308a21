"""The front end of the taggers: waveform to log-mel spectrogram."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from uss_ray.config import Count, Settings
from uss_ray.models.mel import mel_filters
from uss_ray.models.stft import Stft

POWER_FLOOR = 1e-10


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


class LogMel(nn.Module):
    """Log-mel spectrogram in dB, as PANNs and HTS-AT use it: Slaney filters, power floor 1e-10.

    Parameters
    ----------
    config : FrontEndConfig
    """

    filters: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.stft = Stft(window_samples=config.window_samples, hop_samples=config.hop_samples)
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
