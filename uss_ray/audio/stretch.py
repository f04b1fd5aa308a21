"""A stretch of a stem that we have encoded: found by seeking, whatever lies before it.

For files of strangers `reading` is the way: seeking in those may lead anywhere, and what they say of themselves is not
believed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soundfile
from numpy.typing import NDArray

from uss_ray.audio.channel_order import OGG_HEAD_BYTES, as_in_wav, order_in_ogg
from uss_ray.audio.splice import SeekableReader
from uss_ray.errors import OutputError


def read_stretch(file: SeekableReader, *, start: int, frames: int, name: str) -> NDArray[np.float32]:
    """Read some samples of a stem.

    Parameters
    ----------
    file : binary file
        At its start.
    start : int
        First sample, counted from the beginning of the file; >= 0.
    frames : int
        How many samples of each channel.
    name : str
        What errors call it.

    Returns
    -------
    ndarray of shape (channels, n), dtype=float32
        n is less than `frames` where the stem ends before.

    Raises
    ------
    OutputError
        If it is no longer what was written.
    """
    order = _order_in(file)
    try:
        with soundfile.SoundFile(file) as stem:
            if start >= stem.frames:
                return np.zeros((stem.channels, 0), np.float32)
            stem.seek(start)
            read = stem.read(min(frames, stem.frames - start), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        raise OutputError(name, expected="a stem as it was written", found=str(error)) from error
    return np.ascontiguousarray(as_in_wav(read, order).T)


def stem_blocks(
    file: SeekableReader, *, block_frames: int, most_blocks: int, name: str, share: tuple[int, int] = (0, 1)
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Read a stem from its start to its end, or of a long one blocks that are spread over it evenly.

    Parameters
    ----------
    file, name
        As of `read_stretch`.
    block_frames : int
        Samples of a channel in a block; the last may have fewer.
    most_blocks : int
        So many at most.
    share : (int, int), default=(0, 1)
        (i, n): every n-th block, from the i-th on, for several who read side by side.

    Yields
    ------
    start : int
        Where the block begins.
    samples : ndarray of shape (channels, n), dtype=float32

    Raises
    ------
    OutputError
        If it is no longer what was written.
    """
    order = _order_in(file)
    try:
        with soundfile.SoundFile(file) as stem:
            is_long = stem.frames > most_blocks * block_frames
            for number in range(share[0], min(most_blocks, -(-stem.frames // block_frames)), share[1]):
                start = number * stem.frames // most_blocks if is_long else number * block_frames
                if is_long or share[1] > 1:
                    stem.seek(start)
                read = stem.read(block_frames, dtype="float32", always_2d=True)
                yield start, np.ascontiguousarray(as_in_wav(read, order).T)
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        raise OutputError(name, expected="a stem as it was written", found=str(error)) from error


def _order_in(file: SeekableReader) -> tuple[int, ...] | None:
    head = file.read(OGG_HEAD_BYTES)
    file.seek(0)
    return order_in_ogg(head)
