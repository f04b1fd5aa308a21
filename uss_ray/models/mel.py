"""The mel scale of Slaney's Auditory Toolbox, and triangular filters on it."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Linear below 1000 Hz, 15 mel; above, 27 steps of the logarithm for each factor of 6.4.
_HERTZ_A_MEL = 200.0 / 3.0
_BREAK_HERTZ = 1000.0
_BREAK_MEL = _BREAK_HERTZ / _HERTZ_A_MEL
_LOG_STEP = math.log(6.4) / 27.0


def mel_of(hertz: float) -> float:
    """Turn a frequency into mel.

    Examples
    --------
    >>> round(mel_of(500.0), 6), round(mel_of(6400.0), 6)
    (7.5, 42.0)
    """
    if hertz < _BREAK_HERTZ:
        return hertz / _HERTZ_A_MEL
    return _BREAK_MEL + math.log(hertz / _BREAK_HERTZ) / _LOG_STEP


def hertz_of(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn mel into frequencies."""
    above = _BREAK_HERTZ * np.exp(_LOG_STEP * (np.maximum(mels, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mels < _BREAK_MEL, mels * _HERTZ_A_MEL, above)


def mel_filters(*, bins: int, sample_rate: int, filters: int, min_hertz: float, max_hertz: float) -> Tensor:
    """Make triangular filters, evenly spaced in mel, each of the same area.

    Parameters
    ----------
    bins : int
        Of the spectrum, from 0 Hz to half the rate.
    sample_rate : int
        In Hz.
    filters : int
    min_hertz, max_hertz : float
        Where the lowest begins and the highest ends.

    Returns
    -------
    Tensor of shape (bins, filters)
    """
    corners = hertz_of(np.linspace(mel_of(min_hertz), mel_of(max_hertz), filters + 2))
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    hertz = np.linspace(0.0, sample_rate / 2, bins)[:, None]
    triangles = np.minimum((hertz - low) / (peak - low), (high - hertz) / (high - peak)).clip(min=0.0)
    return torch.from_numpy((triangles * 2.0 / (high - low)).astype(np.float32))
