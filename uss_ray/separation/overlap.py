"""Estimates of single segments become one continuous estimate of each target, given out block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class OverlapAdd:
    """Add weighted pieces and hand over what is complete.

    Parameters
    ----------
    channels : int
    start_frame : int, default=0
        Where the first `take` begins; what lies before is dropped.
    """

    def __init__(self, channels: int, *, start_frame: int = 0) -> None:
        self._channels = channels
        self._pieces: dict[str, list[tuple[int, NDArray[np.float32]]]] = {}
        self._given_until = start_frame

    def add(self, key: str, *, start_frame: int, piece: NDArray[np.float32]) -> None:
        """Add a piece of shape (channels, n), already weighted, of a target."""
        self._pieces.setdefault(key, []).append((start_frame, piece))

    def take(self, until_frame: int) -> dict[str, NDArray[np.float32]]:
        """Give what lies between the last call's end and a frame.

        Parameters
        ----------
        until_frame : int
            No later piece may reach before it.

        Returns
        -------
        dict of str to ndarray of shape (channels, until_frame - start)
            Only targets with a piece there.
        """
        start, self._given_until = self._given_until, until_frame
        taken: dict[str, NDArray[np.float32]] = {}
        kept: dict[str, list[tuple[int, NDArray[np.float32]]]] = {}
        for key, pieces in self._pieces.items():
            for piece_start, piece in pieces:
                piece_stop = piece_start + piece.shape[1]
                low, high = max(start, piece_start), min(until_frame, piece_stop)
                if low < high:
                    if key not in taken:
                        taken[key] = np.zeros((self._channels, until_frame - start), dtype=np.float32)
                    taken[key][:, low - start : high - start] += piece[
                        :, low - piece_start : high - piece_start
                    ]
                if piece_stop > until_frame:
                    kept.setdefault(key, []).append((piece_start, piece))
        self._pieces = kept
        return taken
