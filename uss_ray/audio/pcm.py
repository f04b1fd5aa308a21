"""Samples of 16 bits and of full scale 1, and the way between them: what packs, stores and anchors keep."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FULL_SCALE = 32767.0


def to_int16(waveform: NDArray[np.floating]) -> NDArray[np.int16]:
    """Round samples in [-1, 1] to 16 bits; louder ones are clipped."""
    samples: NDArray[np.int16] = np.rint(np.clip(waveform, -1.0, 1.0) * _FULL_SCALE).astype(np.int16)
    return samples


def to_float(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Turn 16-bit samples into float32 in [-1, 1]."""
    return samples.astype(np.float32) / np.float32(_FULL_SCALE)
