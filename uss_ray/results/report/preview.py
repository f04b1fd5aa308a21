"""Small copies of sound that a page can carry inside: MP3 in memory, which every browser plays.

Owns rate, channels and limits of such a copy; what is done with it is the report's business.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_SHORTEST_SECONDS = 0.2  # decoders of browsers reject an MP3 of a frame or two
_COMPRESSION_LEVEL = 0.6  # in [0, 1], 0 is the best sound
_READ_FRAMES = 1 << 16

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
    """

    def __init__(self, sample_rate: int, *, channels: int, max_seconds: float) -> None:
        self._channels = channels if channels <= 2 else 1
        self._left_frames = math.floor(max_seconds * sample_rate)
        rate = next((rate for rate in _MP3_RATES if rate >= sample_rate), _MP3_RATES[-1])
        self._resampler = (
            None
            if rate == sample_rate
            else soxr.ResampleStream(sample_rate, rate, self._channels, dtype="float32")
        )
        self._written_frames, self._rate = 0, rate
        self._buffer = io.BytesIO()
        self._file = soundfile.SoundFile(
            self._buffer,
            "w",
            samplerate=rate,
            channels=self._channels,
            format="MP3",
            subtype="MPEG_LAYER_III",
            bitrate_mode="VARIABLE",
            compression_level=_COMPRESSION_LEVEL,
        )
        self.is_cut = False

    def write(self, samples: Floats) -> None:
        """Take the next samples, shape (channels, n), in [-1, 1]; louder ones are clipped."""
        if samples.shape[1] > self._left_frames:
            self.is_cut = True
            samples = samples[:, : self._left_frames]
        self._left_frames -= samples.shape[1]
        mixed = samples if samples.shape[0] == self._channels else samples.mean(axis=0, keepdims=True)
        self._encode(np.ascontiguousarray(mixed.T), last=False)

    def result(self) -> bytes:
        """End the stream and give the file's bytes."""
        self._encode(np.zeros((0, self._channels), np.float32), last=True)
        missing = math.ceil(_SHORTEST_SECONDS * self._rate) - self._written_frames
        if missing > 0:
            self._file.write(np.zeros((missing, self._channels), np.float32))
        self._file.close()
        return self._buffer.getvalue()

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


def preview_of_file(path: Path, *, max_seconds: float) -> bytes:
    """Encode the beginning of an audio file to MP3.

    Parameters
    ----------
    path : Path
        A file that libsndfile reads.
    max_seconds : float
        Where to stop.

    Returns
    -------
    bytes
        An MP3 file.
    """
    with (
        soundfile.SoundFile(path) as file,
        PreviewEncoder(file.samplerate, channels=file.channels, max_seconds=max_seconds) as encoder,
    ):
        for block in file.blocks(_READ_FRAMES, dtype="float32", always_2d=True):
            encoder.write(block.T)
            if encoder.is_cut:
                break
        return encoder.result()
