"""Streams that lie one behind the other in a file, decoded as one recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.decoding import Decoder, DecodingError


class ChainedDecoder:
    """A decoder that goes on with the next stream where one ends.

    Parameters
    ----------
    open_decoder : callable
        Opens the decoder of a stream by its place in the file.
    count : int
        Number of streams, 1 or more.

    Attributes
    ----------
    spec : AudioSpec
        Of the first stream; `frames` is the sum over all, None where one leaves it open.
    started : bool

    Raises
    ------
    DecodingError
        If a stream cannot be opened, or has another rate or number of channels than the first.
    """

    def __init__(self, open_decoder: Callable[[int], Decoder], *, count: int) -> None:
        self.started = False
        self._open_decoder = open_decoder
        self._count = count
        self._place = 0
        self._current = open_decoder(0)
        self._left = self._current.spec.frames
        frames = self._current.spec.frames
        for place in range(1, count):
            decoder = open_decoder(place)
            found = decoder.spec
            decoder.close()
            if (found.sample_rate, found.channels) != (
                self._current.spec.sample_rate,
                self._current.spec.channels,
            ):
                first = self._current.spec
                self._current.close()
                raise DecodingError(
                    f"{found.sample_rate} Hz, {found.channels} channels in the stream number {place + 1}",
                    expected=f"{first.sample_rate} Hz, {first.channels} channels throughout (convert it)",
                )
            frames = None if frames is None or found.frames is None else frames + found.frames
        self.spec = replace(self._current.spec, frames=frames)

    def read(self, frames: int) -> NDArray[np.float32]:
        """See `Decoder`."""
        self.started = True
        parts: list[NDArray[np.float32]] = []
        while frames > 0:
            part = self._current.read(frames)
            if part.shape[1]:
                parts.append(part)
                frames -= part.shape[1]
                self._left = None if self._left is None else self._left - part.shape[1]
                continue
            if self._left is not None and self._left > 0:
                raise DecodingError(
                    f"the end {self._left} samples early",
                    expected=f"all of the stream number {self._place + 1}",
                )
            if self._place + 1 == self._count:
                break
            self._current.close()
            self._place += 1
            self._current = self._open_decoder(self._place)
            self._left = self._current.spec.frames
        if not parts:
            return np.empty((self.spec.channels, 0), np.float32)
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def close(self) -> None:
        """See `Decoder`."""
        self._current.close()
