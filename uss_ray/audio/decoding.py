"""What every decoder promises the reader, whichever library it stands on."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.spec import AudioSpec


class DecodingError(Exception):
    """A file that a decoder cannot decode; the reader knows its name and the place, and says them.

    Parameters
    ----------
    found : str
        One line.
    expected : str or None, default=None
        None leaves it to the reader.
    """

    def __init__(self, found: str, *, expected: str | None = None) -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected


class Decoder(Protocol):
    """Decodes one file, once, from its start to its end."""

    @property
    def spec(self) -> AudioSpec:
        """What the header says."""
        ...

    @property
    def started(self) -> bool:
        """Whether samples were asked for: then another decoder has to begin at the start."""
        ...

    def read(self, frames: int) -> NDArray[np.float32]:
        """Decode the next samples.

        Parameters
        ----------
        frames : int
            1 or more.

        Returns
        -------
        ndarray of shape (channels, n), dtype=float32
            n < `frames` at the end only, 0 behind it; contiguous.

        Raises
        ------
        DecodingError
            If what comes next is damaged.
        """
        ...

    def close(self) -> None:
        """Let go of the library's memory; the file stays open."""
        ...
