"""Small copies of sound to listen to: MP3, which every browser plays, within a page or beside it.

Owns rate, channels and limits of such a copy; what is done with it is the report's business.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from uss_ray.audio.bridge import FaultKeepingSink
from uss_ray.audio.capacity import MP3_RATES
from uss_ray.errors import OutputError

_SHORTEST_SECONDS = 0.2  # decoders of browsers reject an MP3 of a frame or two
_COMPRESSION_LEVEL = 0.6  # in [0, 1], 0 is the best sound
_CONSTANT_LEVELS = {1: 0.85, 2: 0.72}  # about 80 and 112 kbit/s

Floats = npt.NDArray[np.float32]


class PreviewEncoder:
    """Encode the beginning of a stream to MP3 as it passes; a context manager.

    Parameters
    ----------
    sample_rate : int
        Rate of what is written, in Hz; turned into the nearest rate of MP3 that keeps the band.
    channels : int
        Channels of what is written; more than two are averaged to one.
    max_seconds : float
        Everything after is passed over.
    sink : FaultKeepingSink or None, default=None
        Where the bytes go, at a constant rate, so that a browser finds any place of hours at once; None keeps them in
        memory for `result`.
    """

    def __init__(
        self, sample_rate: int, *, channels: int, max_seconds: float, sink: FaultKeepingSink | None = None
    ) -> None:
        self._channels = channels if channels <= 2 else 1
        self._left_frames = (
            math.floor(max_seconds * sample_rate) if math.isfinite(max_seconds) else sys.maxsize
        )
        rate = next((rate for rate in MP3_RATES if rate >= sample_rate), MP3_RATES[-1])
        self._resampler = (
            None
            if rate == sample_rate
            else soxr.ResampleStream(sample_rate, rate, self._channels, dtype="float32")
        )
        self._written_frames, self._rate = 0, rate
        self._buffer = io.BytesIO()
        self._file = soundfile.SoundFile(
            self._buffer if sink is None else sink,
            "w",
            samplerate=rate,
            channels=self._channels,
            format="MP3",
            subtype="MPEG_LAYER_III",
            bitrate_mode="VARIABLE" if sink is None else "CONSTANT",
            compression_level=_COMPRESSION_LEVEL if sink is None else _CONSTANT_LEVELS[self._channels],
        )

    def write(self, samples: Floats) -> None:
        """Take the next samples, shape (channels, n), in [-1, 1]; louder ones are clipped."""
        if samples.shape[1] > self._left_frames:
            samples = samples[:, : self._left_frames]
        self._left_frames -= samples.shape[1]
        mixed = samples if samples.shape[0] == self._channels else samples.mean(axis=0, keepdims=True)
        self._encode(np.ascontiguousarray(mixed.T), last=False)

    def result(self) -> bytes:
        """End the stream and give the file's bytes."""
        self.finish()
        return self._buffer.getvalue()

    def finish(self) -> None:
        """End the stream."""
        self._encode(np.zeros((0, self._channels), np.float32), last=True)
        missing = math.ceil(_SHORTEST_SECONDS * self._rate) - self._written_frames
        if missing > 0:
            self._file.write(np.zeros((missing, self._channels), np.float32))
        self._file.close()

    def __enter__(self) -> PreviewEncoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _encode(self, frames: Floats, *, last: bool) -> None:
        if self._resampler is not None:
            frames = self._resampler.resample_chunk(frames, last=last)
        self._written_frames += len(frames)
        self._file.write(np.clip(frames, -1.0, 1.0))


class SoundCopy:
    """Write a copy of a stream to a file as it passes; a context manager that leaves no half of one.

    Parameters
    ----------
    path : Path
        The file; folders are made.
    sample_rate, channels, max_seconds
        As in `PreviewEncoder`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """

    def __init__(self, path: Path, sample_rate: int, *, channels: int, max_seconds: float) -> None:
        self._path = path
        self._is_whole = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w+b")
        except OSError as error:
            self._refuse(error)
        self._sink = FaultKeepingSink(self._file)
        self._encoder = PreviewEncoder(
            sample_rate, channels=channels, max_seconds=max_seconds, sink=self._sink
        )

    def write(self, samples: Floats) -> None:
        """Take the next samples, as `PreviewEncoder.write` does."""
        try:
            self._encoder.write(samples)
        except (soundfile.SoundFileError, AssertionError) as error:
            self._refuse(self._sink.fault or error)
        self._check()

    def finish(self) -> None:
        """End the file."""
        try:
            self._encoder.finish()
            self._check()
            self._file.close()
        except (OSError, soundfile.SoundFileError, AssertionError) as error:
            self._refuse(self._sink.fault or error)
        self._is_whole = True

    def __enter__(self) -> SoundCopy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_whole:
            return
        with contextlib.suppress(OSError, soundfile.SoundFileError):
            self._encoder.__exit__(kind, error, trace)
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _check(self) -> None:
        if self._sink.fault is not None:
            self._refuse(self._sink.fault)

    def _refuse(self, error: Exception) -> NoReturn:
        found = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OutputError(str(self._path), expected="a file that can be written", found=found) from error
