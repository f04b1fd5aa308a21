"""Decoding with libsndfile: WAV, FLAC, OGG, MP3, AIFF and more."""

from __future__ import annotations

import numpy as np
import soundfile
from numpy.typing import NDArray

from uss_ray.audio.channel_order import OGG_HEAD_BYTES, as_in_wav, order_in_ogg
from uss_ray.audio.decoding import DecodingError
from uss_ray.audio.spec import AudioSpec
from uss_ray.audio.splice import SeekableReader
from uss_ray.c_stderr import c_libraries_silenced

# Two months at 192 kHz: longer than any recording, shorter than what stands for "unknown" (2**63 - 1 for FLAC).
_LENGTH_UNKNOWN_FROM = 2**40

# What libsndfile says of an MP3 that libmpg123 cannot open, whatever the reason.
_MISLEADING = "File does not exist or is not a regular file"


class SndfileDecoder:
    """A decoder on libsndfile.

    Parameters
    ----------
    file : binary file
        At its start. What it raises must not reach libsndfile: see `bridge`.
    frames : int or None, default=None
        Samples in each channel, where libsndfile would guess; what comes behind them is left out.

    Attributes
    ----------
    spec : AudioSpec
    started : bool

    Raises
    ------
    DecodingError
        If libsndfile does not know the format, or would stop before `frames`.
    """

    def __init__(self, file: SeekableReader, *, frames: int | None = None) -> None:
        self.started = False
        self._order = order_in_ogg(file.read(OGG_HEAD_BYTES))
        file.seek(0)
        try:
            with c_libraries_silenced():
                self._file = _SequentialFile(file, mode="r")
        except (soundfile.SoundFileError, TypeError, ValueError) as error:
            raise DecodingError(f"something that cannot be decoded ({_wording(error)})") from error
        stated = None if self._file.frames >= _LENGTH_UNKNOWN_FROM else self._file.frames
        self.spec = AudioSpec(
            sample_rate=self._file.samplerate,
            channels=self._file.channels,
            frames=stated if frames is None else frames,
            format=self._file.format,
            subtype=self._file.subtype,
        )

        # Behind the last frame of a FLAC libsndfile takes a tag or padding for one that is broken.
        self._left = stated if frames is None and self._file.format == "FLAC" and stated else frames
        if frames is not None and stated is not None and stated < frames:
            self._file.close()
            raise DecodingError(f"a guess of {stated} samples where there are {frames}")

    def read(self, frames: int) -> NDArray[np.float32]:
        """See `Decoder`."""
        self.started = True
        if self._left is not None:
            frames = min(frames, self._left)
        try:
            with c_libraries_silenced():
                interleaved = self._file.read(frames, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise DecodingError(_wording(error)) from error
        if self._left is not None:
            self._left -= len(interleaved)
        return np.ascontiguousarray(as_in_wav(interleaved, self._order).T)

    def close(self) -> None:
        """See `Decoder`."""
        self._file.close()


class _SequentialFile(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile that is read from start to end and never asks libsndfile to seek.

    soundfile seeks to where it already is after each read; FLAC of open length cannot, and calls it an error.
    """

    def seekable(self) -> bool:
        """Claim to be a stream."""
        return False


def _wording(error: Exception) -> str:
    if _MISLEADING in str(error):
        return "not one whole frame of sound"
    return str(getattr(error, "error_string", error)).strip().rstrip(".").replace("\n", " ")
