"""The mixture as it is read: at its native rate and at the model's, remembered only as far back as needed.

Owns reading ahead and forgetting. Results do not depend on how the source cuts its blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.resample import BlockResampler
from uss_ray.errors import ConfigError, RecordingError


class Source(Protocol):
    """A recording that can be read once, from its start to its end."""

    @property
    def sample_rate(self) -> int:
        """Native rate in Hz."""
        ...

    @property
    def channels(self) -> int:
        """Number of channels."""
        ...

    def blocks(self, block_frames: int) -> Iterator[NDArray[np.float32]]:
        """Give (channels, n) blocks, of any length up to `block_frames` or beyond."""
        ...


class ArraySource:
    """A waveform in memory as a source.

    Parameters
    ----------
    waveform : ndarray of shape (channels, frames) or (frames,)
        In [-1, 1].
    sample_rate : int
        In Hz.
    name : str, default="waveform"
        What errors call it.

    Raises
    ------
    RecordingError
        If the waveform is empty, has another shape or holds NaN or infinite samples.
    """

    def __init__(self, waveform: NDArray[np.floating], *, sample_rate: int, name: str = "waveform") -> None:
        self.name = name
        self._waveform = np.atleast_2d(np.asarray(waveform, dtype=np.float32))
        if self._waveform.ndim != 2 or 0 in self._waveform.shape:
            raise RecordingError(
                name, expected="shape (channels, frames), not empty", found=str(waveform.shape)
            )
        if not np.isfinite(self._waveform).all():
            raise RecordingError(name, expected="finite samples", found="NaN or infinity")
        if sample_rate < 1:
            raise RecordingError(name, expected="a sample rate of at least 1 Hz", found=str(sample_rate))
        self.sample_rate = sample_rate
        self.channels = len(self._waveform)

    def blocks(self, block_frames: int) -> Iterator[NDArray[np.float32]]:
        """Give (channels, n) blocks of at most `block_frames` frames."""
        for start in range(0, self._waveform.shape[1], block_frames):
            yield self._waveform[:, start : start + block_frames]


class PartSource(ArraySource):
    """A part of a recording in memory as a source: positions are those in the recording.

    Parameters
    ----------
    waveform : ndarray of shape (channels, frames) or (frames,)
        In [-1, 1]: the part, and the real sound around it that its estimates need.
    sample_rate : int
        In Hz.
    start_frame : int
        Position of the first frame in the recording, 0 or more.
    ends_recording : bool
        Whether the recording ends with the last frame.

    Raises
    ------
    RecordingError
        As of `ArraySource`, and if the part begins before the recording.
    """

    def __init__(
        self, waveform: NDArray[np.floating], *, sample_rate: int, start_frame: int, ends_recording: bool
    ) -> None:
        super().__init__(waveform, sample_rate=sample_rate, name="part of a recording")
        if start_frame < 0:
            raise RecordingError(
                "part of a recording", expected="a start_frame of at least 0", found=str(start_frame)
            )
        self.start_frame = start_frame
        self.stop_frame = start_frame + self._waveform.shape[1]
        self.ends_recording = ends_recording

    def require(self, start_frame: int, stop_frame: int | None) -> None:
        """Refuse to stand for frames that are not there.

        Parameters
        ----------
        start_frame : int
            From where on the recording is needed.
        stop_frame : int or None
            Until where; beyond the end of the recording nothing is needed. None: until its end.

        Raises
        ------
        ConfigError
            If frames before or after those of this part are needed.
        """
        missing = []
        if start_frame < self.start_frame:
            missing.append(f"{self._seconds(self.start_frame - start_frame)} before it")
        if not self.ends_recording and stop_frame is None:
            missing.append("the rest of the recording after it")
        elif not self.ends_recording and stop_frame is not None and stop_frame > self.stop_frame:
            missing.append(f"{self._seconds(stop_frame - self.stop_frame)} after it")
        if missing:
            raise ConfigError(
                f"part of a recording from frame {self.start_frame} to {self.stop_frame}",
                expected=f"context from frame {start_frame} to {'the end' if stop_frame is None else stop_frame}",
                found=" and ".join(missing) + " missing",
            )

    def _seconds(self, frames: int) -> str:
        return f"{frames} frames ({frames / self.sample_rate:.2f} s)"


class Timeline:
    """A waveform that grows at its end and is forgotten at its start.

    Parameters
    ----------
    channels : int
    start : int, default=0
        Position of the first sample to come.
    """

    def __init__(self, channels: int, *, start: int = 0) -> None:
        self._samples = np.zeros((channels, 0), dtype=np.float32)
        self.start = start

    @property
    def stop(self) -> int:
        """Position after the last sample."""
        return self.start + self._samples.shape[1]

    def append(self, samples: NDArray[np.float32]) -> None:
        """Add samples of shape (channels, n) at the end."""
        self._samples = np.concatenate((self._samples, samples), axis=1)

    def forget(self, until: int) -> None:
        """Drop what lies before a position."""
        dropped = min(until, self.stop) - self.start
        if dropped > 0:
            self._samples = self._samples[:, dropped:].copy()
            self.start += dropped

    def view(self, start: int, stop: int) -> NDArray[np.float32]:
        """Give the samples of [start, stop), silence beyond the end; `start` must not be forgotten."""
        if start < self.start:
            raise IndexError(
                f"samples from {start} on are asked for, those before {self.start} are forgotten"
            )
        known = self._samples[:, start - self.start : max(0, stop - self.start)]
        missing = stop - start - known.shape[1]
        return known if missing == 0 else np.pad(known, ((0, 0), (0, missing)))


class MixtureReader:
    """Read a source at two rates.

    Parameters
    ----------
    source : Source
    model_rate : int
        In Hz.
    step_seconds : int
        Length of what is resampled at once; whole seconds lie on both rates.
    first_step : int, default=0
        How many steps of the recording to leave out at its start. What is resampled is the same wherever it begins.

    Attributes
    ----------
    native, model : Timeline
        In positions of the recording.
        What is read so far and not forgotten. The model's lags behind by the context of the resampler.
    ended : bool
        Whether the source is read to its end; only then are the ends of the timelines those of the recording.
    """

    def __init__(self, source: Source, *, model_rate: int, step_seconds: int, first_step: int = 0) -> None:
        self._resampler = BlockResampler(source.sample_rate, model_rate)
        self._step_frames = step_seconds * source.sample_rate
        self._step_samples = step_seconds * model_rate
        self._converted_frame = first_step * self._step_frames
        self._native_needed_from = self._converted_frame
        self._first_frame = max(0, self._converted_frame - self._resampler.context_frames)
        self.native = Timeline(source.channels, start=self._first_frame)
        self.model = Timeline(source.channels, start=first_step * self._step_samples)
        self.ended = False
        self._part = source if isinstance(source, PartSource) else None
        self._read_frame = self._part.start_frame if self._part else 0
        self._blocks = source.blocks(source.sample_rate)
        self._channels = source.channels

    def require_until(self, model_sample: int | None) -> None:
        """Refuse a part of a recording that begins too late, or stops before it can be read until a sample.

        Parameters
        ----------
        model_sample : int or None
            None: the end of the recording.

        Raises
        ------
        ConfigError
            It says what is missing.
        """
        if self._part is not None:
            self._part.require(
                self._first_frame, None if model_sample is None else self._native_reach(model_sample)
            )

    def _native_reach(self, model_sample: int) -> int:
        """Tell up to which frame must be read so that the model's timeline reaches a sample."""
        steps = -(-model_sample // self._step_samples)
        return steps * self._step_frames + self._resampler.context_frames

    def read_until(self, model_sample: int) -> None:
        """Read until the model's timeline reaches a sample, or the recording ends."""
        while not self.ended and self.model.stop < model_sample:
            block = next(self._blocks, None)
            if block is None:
                self.require_until(model_sample)
                self.ended = True
            elif block.ndim != 2 or len(block) != self._channels:
                raise RecordingError(
                    "recording", expected=f"blocks of shape ({self._channels}, n)", found=str(block.shape)
                )
            else:
                # The sound before what is needed is read past.
                self.native.append(block[:, max(0, self.native.stop - self._read_frame) :])
                self._read_frame += block.shape[1]
            self._convert()

    def forget(self, *, native_frame: int, model_sample: int) -> None:
        """Drop what lies before these positions and is not needed for resampling."""
        self.model.forget(model_sample)
        self._native_needed_from = native_frame
        self._forget_native()

    def _forget_native(self) -> None:
        self.native.forget(
            min(self._native_needed_from, self._converted_frame - self._resampler.context_frames)
        )

    def _convert(self) -> None:
        context = self._resampler.context_frames
        while True:
            start, stop = self._converted_frame, self._converted_frame + self._step_frames
            if self.native.stop < stop + context:
                if not self.ended or self.native.stop <= start:
                    return
                stop = min(stop, self.native.stop)
            first = max(0, start - context)
            last = min(stop + context, self.native.stop)
            converted = self._resampler.resample(
                self.native.view(first, last), left_context=start - first, right_context=last - stop
            )
            self.model.append(converted)
            self._converted_frame = stop
