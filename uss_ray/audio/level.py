"""Levels of a waveform: peak, RMS, dBFS; float64 inside, no audio is changed. What is silent, `silence` tells."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def peak(waveform: NDArray[np.floating]) -> float:
    """Find the largest absolute sample.

    Parameters
    ----------
    waveform : ndarray of any shape
        Samples, full scale 1.

    Returns
    -------
    float
        Linear peak, 0 for an empty array.
    """
    if waveform.size == 0:
        return 0.0
    return max(float(waveform.max()), -float(waveform.min()))


def rms(waveform: NDArray[np.floating]) -> float:
    """Take the root of the mean square over all samples of all channels.

    Parameters
    ----------
    waveform : ndarray of any shape
        Samples, full scale 1.

    Returns
    -------
    float
        Linear RMS, 0 for an empty array.
    """
    if waveform.size == 0:
        return 0.0
    return math.sqrt(float(np.mean(np.square(waveform, dtype=np.float64))))


def dbfs(amplitude: float) -> float:
    """Express a linear amplitude in decibels below full scale.

    Parameters
    ----------
    amplitude : float
        Linear amplitude such as `peak` or `rms` give, 0 or more.

    Returns
    -------
    float
        ``20 * log10(amplitude)``; ``-inf`` for 0.

    Raises
    ------
    ValueError
        If `amplitude` is negative.

    Examples
    --------
    >>> dbfs(1.0), dbfs(0.0), round(dbfs(0.5), 2)
    (0.0, -inf, -6.02)
    """
    if amplitude < 0:
        raise ValueError(f"amplitude must be 0 or more, not {amplitude}")
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf
