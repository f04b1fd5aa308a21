"""Sample-rate conversion of a stream in blocks, without state: any block can be converted alone, in any order.

Owns the length rule and the grid on which two rates meet; which blocks to cut is the caller's business.
"""

from __future__ import annotations

import math

import numpy as np
import soxr
from numpy.typing import NDArray

_QUALITY = "VHQ"
# The VHQ filter's response has fallen below 1e-7 of its peak at 126 periods of the lower rate (measured over
# nine rates from 7418 to 192000 Hz, both ways); twice that leaves room for every ratio.
_CONTEXT_PERIODS = 256


def context_seconds(sample_rate: int) -> int:
    """Tell how many whole seconds hold `BlockResampler.context_frames` of a rate, to or from any that is not lower.

    Examples
    --------
    >>> context_seconds(44100), context_seconds(256), context_seconds(100)
    (1, 1, 3)
    """
    return math.ceil(_CONTEXT_PERIODS / sample_rate)


class BlockResampler:
    """Convert blocks of one long recording so that they join as if it had been converted whole.

    Each block is handed over with real samples on both sides, converted in one shot and cropped.

    Parameters
    ----------
    from_rate : int
        Rate of the blocks that come in, in Hz.
    to_rate : int
        Rate of the blocks that go out, in Hz.

    Attributes
    ----------
    grid_frames : int
        Blocks must start, and left contexts must be, at multiples of this many input frames: there input and
        output samples fall on the same instant. Whole seconds always do.
    context_frames : int
        Input frames of context that each side needs, a multiple of `grid_frames`; 0 when the rates are equal.
        Give less only where the recording begins or ends: it counts as silent beyond.

    Raises
    ------
    ValueError
        If a rate is below 1 Hz.

    Notes
    -----
    Length rule: n input frames from a grid point become ``ceil(n * to_rate / from_rate)`` output frames. There and
    back gives at least n frames; the caller crops the last block to n. Equal rates change no bit.
    Joins: for rates whose ratio to the other is a modest fraction (all common ones) blocks equal the conversion of
    the whole to float32 rounding. For the odd rest, such as 44099 to 32000, libsoxr's clock drifts by about a
    millionth of a sample a second; blocks start it anew and so stay closer to the truth than the whole would.

    Built on libsoxr's very-high-quality recipe (linear phase, so no delay).

    Examples
    --------
    >>> to_model = BlockResampler(44100, 32000)
    >>> to_model.grid_frames, to_model.output_frames(44100), to_model.output_frames(1)
    (441, 32000, 1)
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        if min(from_rate, to_rate) < 1:
            raise ValueError(f"sample rates must be 1 Hz or more, not {from_rate} and {to_rate}")
        self.from_rate = from_rate
        self.to_rate = to_rate
        self.grid_frames = from_rate // math.gcd(from_rate, to_rate)
        self.context_frames = 0 if from_rate == to_rate else self._context_on_grid()

    def _context_on_grid(self) -> int:
        reach_frames = math.ceil(_CONTEXT_PERIODS * self.from_rate / min(self.from_rate, self.to_rate))
        return math.ceil(reach_frames / self.grid_frames) * self.grid_frames

    def output_frames(self, input_frames: int) -> int:
        """Count the output frames of so many input frames from a grid point.

        Parameters
        ----------
        input_frames : int
            Frames at `from_rate`, 0 or more.

        Returns
        -------
        int
            Frames at `to_rate`.
        """
        return -(-input_frames * self.to_rate // self.from_rate)

    def resample(
        self, block: NDArray[np.float32], *, left_context: int = 0, right_context: int = 0
    ) -> NDArray[np.float32]:
        """Convert one block, context and all, and return the part without context.

        Parameters
        ----------
        block : ndarray of shape (channels, left_context + n + right_context), dtype=float32
            Input samples; the first must lie on a grid point of the recording.
        left_context : int, default=0
            Leading frames that only give context; a multiple of `grid_frames`.
        right_context : int, default=0
            Trailing frames that only give context.

        Returns
        -------
        ndarray of shape (channels, output_frames(n)), dtype=float32
            The converted n frames, contiguous.

        Raises
        ------
        ValueError
            If `left_context` is off the grid, or the contexts are negative or longer than the block.
        """
        kept_frames = block.shape[-1] - left_context - right_context
        if min(left_context, right_context, kept_frames) < 0:
            raise ValueError(
                f"contexts of {left_context} and {right_context} frames do not fit a block of {block.shape[-1]}"
            )
        if left_context % self.grid_frames:
            raise ValueError(f"left context of {left_context} frames is off the grid of {self.grid_frames}")
        if self.from_rate == self.to_rate:
            return np.ascontiguousarray(block[:, left_context : left_context + kept_frames], dtype=np.float32)
        first = self.output_frames(left_context)
        count = self.output_frames(kept_frames)
        # One-shot soxr rounds its length either way; a little silence behind makes the last sample certain.
        spare = math.ceil(2 * self.from_rate / self.to_rate)
        padded = np.pad(block, ((0, 0), (0, spare)))
        converted = soxr.resample(padded.T, self.from_rate, self.to_rate, quality=_QUALITY)
        return np.ascontiguousarray(converted[first : first + count].T, dtype=np.float32)
