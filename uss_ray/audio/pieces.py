"""Blocks of any length in, pieces of one length out: for coders that hear where their input was cut."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class EvenPieces:
    """Cut a stream of samples into pieces of one length, whatever the blocks it comes in.

    Parameters
    ----------
    piece_frames : int
        Samples in each channel of a piece, 1 or more.

    Examples
    --------
    >>> pieces = EvenPieces(3)
    >>> [len(piece) for block in (2, 5) for piece in pieces.cut(np.zeros((block, 1), np.float32))]
    [3, 3]
    >>> [len(piece) for piece in pieces.rest()]
    [1]
    """

    def __init__(self, piece_frames: int) -> None:
        self._piece_frames = piece_frames
        self._held: list[NDArray[np.float32]] = []
        self._held_frames = 0

    def cut(self, block: NDArray[np.float32] | NDArray[np.int16]) -> Iterator[NDArray[np.float32]]:
        """Take a block and hand on the pieces that are full.

        Parameters
        ----------
        block : ndarray of shape (n, channels)
            Samples, full scale 1 as float32 or 32768 as int16.

        Yields
        ------
        ndarray of shape (piece_frames, channels), dtype=float32
            The pieces.
        """
        while len(block):
            taken = block[: self._piece_frames - self._held_frames]
            block = block[len(taken) :]
            self._hold(taken)
            if self._held_frames == self._piece_frames:
                yield from self.rest()

    def rest(self) -> Iterator[NDArray[np.float32]]:
        """Hand on what is left, if anything is; the next piece starts anew."""
        if self._held:
            piece = np.concatenate(self._held)
            self._held, self._held_frames = [], 0
            yield piece

    def _hold(self, part: NDArray[np.float32] | NDArray[np.int16]) -> None:
        scale = np.float32(2.0**-15) if part.dtype == np.int16 else np.float32(1)
        # A copy: the caller may use its block again before the piece is full.
        self._held.append(np.multiply(part, scale, dtype=np.float32))
        self._held_frames += len(part)
