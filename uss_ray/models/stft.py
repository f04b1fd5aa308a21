"""Short-time Fourier transform and its inverse.

Owns the analysis window and the frame geometry; masks and features belong to the networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Stft(nn.Module):
    """Centred, reflect-padded Hann STFT with an exact-length inverse.

    Parameters
    ----------
    window_samples : int
        Window and FFT length in samples.
    hop_samples : int
        Step between frames in samples.

    Notes
    -----
    Same geometry as the published separator (window 2048, hop 320) and taggers (1024, 320). `torch.stft` refuses
    to reflect a signal that is shorter than half a window, so such a signal is padded with zeros first.
    """

    window: Tensor

    def __init__(self, *, window_samples: int, hop_samples: int) -> None:
        super().__init__()
        self.window_samples = window_samples
        self.hop_samples = hop_samples
        self.register_buffer("window", torch.hann_window(window_samples), persistent=False)

    @property
    def bins(self) -> int:
        """Number of frequency bins."""
        return self.window_samples // 2 + 1

    def frames(self, samples: int) -> int:
        """Return the number of frames of a signal of `samples` samples."""
        return max(samples, self.window_samples // 2 + 1) // self.hop_samples + 1

    def forward(self, waveform: Tensor) -> Tensor:
        """Transform waveforms.

        Parameters
        ----------
        waveform : Tensor of shape (..., samples)

        Returns
        -------
        Tensor of shape (..., frames, bins), dtype=complex64
        """
        lead, samples = waveform.shape[:-1], waveform.shape[-1]
        flat = waveform.reshape(-1, samples)
        missing = self.window_samples // 2 + 1 - samples
        if missing > 0:
            flat = nn.functional.pad(flat, (0, missing))
        spectrogram = torch.stft(
            flat,
            self.window_samples,
            self.hop_samples,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        return spectrogram.transpose(-1, -2).reshape(*lead, spectrogram.shape[-1], self.bins)

    def inverse(self, spectrogram: Tensor, *, samples: int) -> Tensor:
        """Transform spectrograms back.

        Parameters
        ----------
        spectrogram : Tensor of shape (..., frames, bins), dtype=complex64
        samples : int
            Length to give back; the frames must be those of a signal of that length.

        Returns
        -------
        Tensor of shape (..., samples)
        """
        lead = spectrogram.shape[:-2]
        flat = spectrogram.reshape(-1, *spectrogram.shape[-2:]).transpose(-1, -2)
        waveform = torch.istft(
            flat,
            self.window_samples,
            self.hop_samples,
            window=self.window,
            center=True,
            length=max(samples, self.window_samples // 2 + 1),
        )
        return waveform[..., :samples].reshape(*lead, samples)
