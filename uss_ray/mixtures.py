"""Anchors become mixtures: sources are brought to one energy before they are added."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ENERGY_FLOOR = 1e-10
GAIN_RANGE = (0.02, 50.0)


def matching_gain(
    target: NDArray[np.float32], interference: NDArray[np.float32], *, scale: float = 1.0
) -> np.float32:
    """Give the factor that brings the interference to the energy of the target.

    Parameters
    ----------
    target, interference : ndarray of shape (samples,), dtype=float32
    scale : float, default=1
        What the target was multiplied by: limits are those of a gain before that.

    Returns
    -------
    float32
        In [0.02, 50], times the scale.

    Notes
    -----
    Kong et al. 2023, data augmentation by energy matching; limits of the released program.
    """
    energy = max(float(np.square(interference, dtype=np.float64).sum()), ENERGY_FLOOR)
    gain = np.sqrt(float(np.square(target, dtype=np.float64).sum()) / energy)
    lowest, highest = GAIN_RANGE
    return np.float32(np.clip(gain, lowest * scale, highest * scale))
