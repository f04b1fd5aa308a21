"""Decoding the sound of MP4 files (`.m4a`: AAC, ALAC) with FFmpeg, through the optional dependency `uss-ray[aac]`.

FFmpeg decodes; which of the samples are the recording is `mp4_header`'s: FFmpeg rounds the edit list to whole packets
at its end, and loses some where a file counts in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.decoding import DecodingError
from uss_ray.audio.mp4_header import RecordedSpans, recorded_spans
from uss_ray.audio.spec import AudioSpec
from uss_ray.audio.splice import SeekableReader

# FFmpeg's sample formats: what a lossless coding of it is called, and its full scale.
_SUBTYPES = {"s16": "PCM_16", "s32": "PCM_32", "flt": "FLOAT", "dbl": "DOUBLE"}
_FULL_SCALES = {"s16": 2.0**15, "s32": 2.0**31, "flt": 1.0, "dbl": 1.0}


class Mp4Decoder:
    """A decoder on FFmpeg.

    Parameters
    ----------
    file : binary file
        A complete MP4 as far as `containers` can tell; its first sound track is decoded. What it raises must not reach
        FFmpeg: see `bridge`.

    Attributes
    ----------
    spec : AudioSpec
        `format` is ``"MP4"``; `subtype` FFmpeg's name of a lossy coding, such as ``"AAC"``, and what a lossless one
        holds, such as ``"PCM_16"``. `frames` is None where no header tells it to the sample: fragments (DASH), or
        times in other units than samples.
    started : bool

    Raises
    ------
    DecodingError
        If PyAV is not installed, or there is no sound track that it decodes.

    Notes
    -----
    FFmpeg keeps the file's table of packets in memory, some 5 MB for an hour of AAC.
    """

    def __init__(self, file: SeekableReader) -> None:
        self.started = False
        self._av = _pyav()
        try:
            recorded = recorded_spans(file)
            file.seek(0)
            # No other demuxer: some follow addresses that they find in a file.
            self._container = self._av.open(
                file, format="mov", options={"ignore_editlist": "1"}, metadata_errors="ignore"
            )
        except (self._av.error.FFmpegError, ValueError) as error:
            raise _cannot_decode(_wording(error)) from None
        self._track = next(iter(self._container.streams.audio), None)
        self._coding = None if self._track is None else self._track.codec_context
        if self._coding is None or _sample_format(self._coding) not in _FULL_SCALES:
            self.close()
            raise _cannot_decode("a coding of sound that FFmpeg does not know")
        # Lead-ins are cut here, and what is damaged is an error, not silence.
        self._coding.options = {"flags2": "+skip_manual", "err_detect": "explode"}
        self._spans = _in_samples(recorded, sample_rate=self._coding.sample_rate)
        self.spec = AudioSpec(
            sample_rate=self._coding.sample_rate,
            channels=self._coding.channels,
            frames=_total_frames(recorded, self._spans, sample_rate=self._coding.sample_rate),
            format="MP4",
            subtype=_subtype(self._coding),
        )
        self._recording = self._recorded_pieces()
        self._held = np.empty((self.spec.channels, 0), np.float32)

    def read(self, frames: int) -> NDArray[np.float32]:
        """See `Decoder`."""
        self.started = True
        parts, count = [self._held], self._held.shape[1]
        while count < frames and (piece := next(self._recording, None)) is not None:
            parts.append(piece)
            count += piece.shape[1]
        joined = np.concatenate(parts, axis=1)
        self._held = joined[:, frames:].copy()
        return np.ascontiguousarray(joined[:, :frames])

    def close(self) -> None:
        """See `Decoder`."""
        self._container.close()

    def _recorded_pieces(self) -> Iterator[NDArray[np.float32]]:
        at = 0
        for samples in self._decoded():
            for start, stop in self._spans:
                piece = samples[:, max(0, start - at) : None if stop is None else max(0, stop - at)]
                if piece.shape[1]:
                    yield piece
            at += samples.shape[1]
            last = self._spans[-1][1]
            if last is not None and at >= last:
                return

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        try:
            for packet in self._container.demux(self._track):
                if packet.is_corrupt:
                    raise DecodingError("a packet that is cut off or damaged")
                for frame in packet.decode():
                    yield self._samples_of(frame)
        except self._av.error.FFmpegError as error:
            raise DecodingError(_wording(error)) from None

    def _samples_of(self, frame: Any) -> NDArray[np.float32]:
        found = _shape(frame.sample_rate, frame.layout.nb_channels, frame)
        expected = _shape(self.spec.sample_rate, self.spec.channels, self._coding)
        if found != expected:
            raise DecodingError(found, expected=f"{expected} throughout")
        samples: NDArray[Any] = frame.to_ndarray()
        if frame.format.is_packed:
            samples = samples.reshape(-1, self.spec.channels).T
        return samples.astype(np.float32) / np.float32(_FULL_SCALES[_sample_format(frame)])


def _pyav() -> ModuleType:
    try:
        return import_module("av")
    except ImportError as error:
        raise DecodingError(
            "none", expected="the package av, for MP4 and AAC (pip install 'uss-ray[aac]')"
        ) from error


def _in_samples(recorded: RecordedSpans, *, sample_rate: int) -> list[tuple[int, int | None]]:
    ratio = Fraction(sample_rate, recorded.timescale)
    return [
        (round(start * ratio), None if stop is None else round(stop * ratio))
        for start, stop in recorded.spans
    ]


def _total_frames(
    recorded: RecordedSpans, spans: list[tuple[int, int | None]], *, sample_rate: int
) -> int | None:
    if recorded.timescale not in (sample_rate, sample_rate / 2):
        return None
    frames = 0
    for start, stop in spans:
        if stop is None:
            return None
        frames += max(0, stop - start)
    return frames


def _shape(sample_rate: int, channels: int, described: Any) -> str:
    return f"{sample_rate} Hz, {channels} channels of {_sample_format(described)}"


def _sample_format(described: Any) -> str:
    """Name a coding's or a frame's samples as FFmpeg does when they are interleaved."""
    return "none" if described.format is None else str(described.format.packed.name)


def _subtype(coding: Any) -> str:
    if coding.codec.lossless and not coding.codec.lossy:
        return _SUBTYPES[_sample_format(coding)]
    return str(coding.codec.canonical_name).upper()


def _cannot_decode(found: str) -> DecodingError:
    return DecodingError(f"something that cannot be decoded ({found})")


def _wording(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".").replace("\n", " ")
