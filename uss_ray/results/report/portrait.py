"""What a report shows of a recording: its spectrogram, a copy to listen to, and pictures of its stems.

Owns how large the pictures are; they take bounded memory whatever the length of the recording. The copy is a file.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from uss_ray.results.blocks import Geometry
from uss_ray.results.index.table import RecordingFacts
from uss_ray.results.layout import report_sound_path
from uss_ray.results.options import WriteOptions
from uss_ray.results.report.preview import SoundCopy
from uss_ray.results.report.spectrogram import Spectrogram, SpectrogramMeter

_MIXTURE_BANDS = 128
_BEGINNING_SECONDS = 90.0

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
    heard_seconds : float
        How much of the recording's beginning the copy beside the page holds.
    spectrograms : mapping of (level, key) to Spectrogram
        Of every written stem, each over the whole recording.
    """

    mixture_spectrogram: Spectrogram
    heard_seconds: float
    spectrograms: Mapping[StemId, Spectrogram]


class PortraitPainter:
    """Watch a recording pass by; a context manager.

    Parameters
    ----------
    geometry : Geometry
        Rate and channels of the recording.
    frames : int or None
        Length of the recording where it is known.
    sound : Path
        Where the copy to listen to is written.
    max_seconds : float, default=inf
        How much of the recording's beginning it holds.
    """

    def __init__(
        self, geometry: Geometry, *, frames: int | None, sound: Path, max_seconds: float = math.inf
    ) -> None:
        self._sample_rate = geometry.sample_rate
        self._max_seconds = max_seconds
        self._n_frames = 0
        self._meter = SpectrogramMeter(geometry.sample_rate, frames=frames, bands=_MIXTURE_BANDS)
        self._copy = SoundCopy(
            sound, geometry.sample_rate, channels=geometry.channels, max_seconds=max_seconds
        )

    @classmethod
    def of(
        cls, recording: RecordingFacts, options: WriteOptions, *, geometry: Geometry, root: Path
    ) -> PortraitPainter | None:
        """Begin what the report shows and plays of a recording below a local root; None where there is to be none.

        Its copy to listen to is as long as the recording, or holds the beginning where no sound is to be kept.
        """
        if not options.report:
            return None
        return cls(
            geometry,
            frames=recording.frames,
            sound=root / report_sound_path(recording.recording_id),
            max_seconds=_BEGINNING_SECONDS if options.write == "index-only" else math.inf,
        )

    def add(self, mixture: Floats) -> None:
        """Take the next samples of the recording, shape (channels, n)."""
        self._n_frames += mixture.shape[1]
        self._meter.add(mixture)
        self._copy.write(mixture)

    def result(self, spectrograms: Mapping[StemId, Spectrogram]) -> Portrait:
        """Give the portrait, with the pictures of the stems; no more can be added then."""
        self._copy.finish()
        return Portrait(
            mixture_spectrogram=self._meter.result(),
            heard_seconds=min(self._n_frames / self._sample_rate, self._max_seconds),
            spectrograms=spectrograms,
        )

    def __enter__(self) -> PortraitPainter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._copy.__exit__(kind, error, trace)
