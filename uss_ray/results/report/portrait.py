"""What a report shows of a recording: its spectrogram, its beginning as an MP3, and pictures of its stems.

Owns how large these are; they take bounded memory whatever the length of the recording.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import TracebackType

import numpy as np
import numpy.typing as npt

from uss_ray.results.blocks import Geometry
from uss_ray.results.report.preview import PreviewEncoder
from uss_ray.results.report.spectrogram import Spectrogram, SpectrogramMeter

_MIXTURE_BANDS = 128
_PREVIEW_SECONDS = 90.0

StemId = tuple[int | None, str]
"""Level and key of a stem, unique within a recording; the residual of a level has the key `residual`."""

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Portrait:
    """Pictures and sound of one recording.

    Parameters
    ----------
    mixture_spectrogram : Spectrogram
        Of the recording.
    mixture_preview : bytes
        MP3 of the recording's beginning.
    preview_seconds : float
        Length of the preview, at most that of the recording.
    spectrograms : mapping of (level, key) to Spectrogram
        Of every written stem, each over the whole recording.
    """

    mixture_spectrogram: Spectrogram
    mixture_preview: bytes
    preview_seconds: float
    spectrograms: Mapping[StemId, Spectrogram]


class PortraitPainter:
    """Watch a recording pass by; a context manager.

    Parameters
    ----------
    geometry : Geometry
        Rate and channels of the recording.
    frames : int or None
        Length of the recording where it is known.
    """

    def __init__(self, geometry: Geometry, *, frames: int | None) -> None:
        self._sample_rate = geometry.sample_rate
        self._n_frames = 0
        self._meter = SpectrogramMeter(geometry.sample_rate, frames=frames, bands=_MIXTURE_BANDS)
        self._preview = PreviewEncoder(
            geometry.sample_rate, channels=geometry.channels, max_seconds=_PREVIEW_SECONDS
        )

    def add(self, mixture: Floats) -> None:
        """Take the next samples of the recording, shape (channels, n)."""
        self._n_frames += mixture.shape[1]
        self._meter.add(mixture)
        self._preview.write(mixture)

    def result(self, spectrograms: Mapping[StemId, Spectrogram]) -> Portrait:
        """Give the portrait, with the pictures of the stems; no more can be added then."""
        return Portrait(
            mixture_spectrogram=self._meter.result(),
            mixture_preview=self._preview.result(),
            preview_seconds=min(self._n_frames / self._sample_rate, _PREVIEW_SECONDS),
            spectrograms=spectrograms,
        )

    def __enter__(self) -> PortraitPainter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._preview.__exit__(kind, error, trace)
