"""Blocks of what a page plays, beside the sound that they should be of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_TRIES = 20


def least_error(capture: Callable[[], np.ndarray], expected: np.ndarray, *, below: float) -> float:
    """Give the least error of some blocks, up to the first below a limit.

    On a busy machine the tap is called late, and sound of two times lies in one of its blocks; a player that is wrong
    is wrong in all of them.
    """
    least = np.inf
    for _ in range(_TRIES):
        least = min(least, _error(capture(), expected))
        if least < below:
            break
    return least


def _error(block: np.ndarray, expected: np.ndarray) -> float:
    """Give the largest difference at the place where the block fits best."""
    length = block.shape[1]
    windows = np.lib.stride_tricks.sliding_window_view(expected[0], 8)
    place = int(np.abs(windows[: expected.shape[1] - length + 1] - block[0, :8]).sum(axis=1).argmin())
    return float(np.abs(expected[:, place : place + length] - block).max())
