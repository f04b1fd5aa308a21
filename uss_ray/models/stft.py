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
    is_inverted : bool, default=True
        Whether sound is made of its spectrograms again; features need no frame at the end of a signal.

    Notes
    -----
    Same geometry as the published separator (window 2048, hop 320) and taggers (1024, 320). `torch.stft` refuses
    to reflect a signal that is shorter than half a window, so such a signal is padded with zeros first.

    What lies behind the centre of the last frame has that frame alone, and the inverse divides by the square of its
    window: where a hop is longer than a quarter of the window, that is next to nothing, and whatever a mask changes
    would end in a click. Such a signal is padded with zeros to whole hops, so that a frame has its centre at the end.
    """

    window: Tensor

    def __init__(self, *, window_samples: int, hop_samples: int, is_inverted: bool = True) -> None:
        super().__init__()
        self.window_samples = window_samples
        self.hop_samples = hop_samples
        self._has_whole_hops = is_inverted and 4 * hop_samples > window_samples
        self.register_buffer("window", torch.hann_window(window_samples), persistent=False)

    @property
    def bins(self) -> int:
        """Number of frequency bins."""
        return self.window_samples // 2 + 1

    def frames(self, samples: int) -> int:
        """Return the number of frames of a signal of `samples` samples."""
        return self._read_samples(samples) // self.hop_samples + 1

    def _read_samples(self, samples: int) -> int:
        """Tell how long a signal is with the zeros behind it."""
        least = max(samples, self.window_samples // 2 + 1)
        return least + -least % self.hop_samples if self._has_whole_hops else least

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
        missing = self._read_samples(samples) - samples
        if missing:
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
            length=self._read_samples(samples),
        )
        return waveform[..., :samples].reshape(*lead, samples)
