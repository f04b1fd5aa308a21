"""What a detector found in a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detection:
    """What a detector found in one clip.

    Parameters
    ----------
    framewise_probs : ndarray of shape (frames, classes), dtype=float32
        Frame `f` is centred at sample `f * hop_samples`.
    clipwise_probs : ndarray of shape (classes,), dtype=float32
    hop_samples : float
    """

    framewise_probs: NDArray[np.float32]
    clipwise_probs: NDArray[np.float32]
    hop_samples: float
