"""From a clip of any container to the waveform of exactly its labelled excerpt, mono, at the model's rate.

Owns where the excerpt lies in the audio and what counts as short; decoding and resampling are `audio`'s.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.codec import open_recording
from uss_ray.audio.pcm import to_float
from uss_ray.audio.resample import BlockResampler
from uss_ray.datasets.clip_audio import ClipAudio
from uss_ray.datasets.labelled_clips import LabelledClip
from uss_ray.errors import RecordingError
from uss_ray.store.store import Store, StoreOptions

MODEL_RATE = 32_000
SHORT_FROM_SECONDS = 0.1
"""Missing at the end of a clip before it counts as short: lossy codings lose some hundredths."""
# Recordings are cut and padded by their codings; more than this is another length.
_LENGTH_TOLERANCE_SECONDS = 0.5
_BLOCK_FRAMES = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class DecodedClip:
    """The waveform of a clip.

    Parameters
    ----------
    waveform : ndarray of shape (samples,), dtype=float32
        Mono, full scale 1, as long as the excerpt of the segment CSV; zeros where the audio ended before.
    sample_rate : int
        In Hz.
    real_samples : int
        Samples from the start that are audio; the rest is padding.
    """

    waveform: NDArray[np.float32]
    sample_rate: int
    real_samples: int

    @property
    def missing_seconds(self) -> float:
        """How much of the excerpt is padding."""
        return (len(self.waveform) - self.real_samples) / self.sample_rate

    @property
    def is_short(self) -> bool:
        """Whether more is missing than a coding loses."""
        return self.missing_seconds > SHORT_FROM_SECONDS


def decode_clip(
    clip: LabelledClip, *, sample_rate: int = MODEL_RATE, storage: StoreOptions | None = None
) -> DecodedClip:
    """Decode a clip.

    Parameters
    ----------
    clip : LabelledClip
        Its audio may be the excerpt itself, or the whole recording: a file no longer than the excerpt is the excerpt,
        one that reaches the excerpt's end is the recording.
    sample_rate : int, default=MODEL_RATE
        Of the result, in Hz.
    storage : StoreOptions, optional
        How the clip's file is reached, where it is one.

    Returns
    -------
    DecodedClip

    Raises
    ------
    RecordingError
        If the audio is missing, broken, empty, or neither as short as the excerpt nor as long as the recording must
        be. Its `__cause__` is the store's fault where it was one.

    Notes
    -----
    Memory holds the excerpt, whatever the length of the recording. Channels are averaged before the rate changes.
    """
    with _opened(clip.audio, storage) as audio:
        start = _excerpt_start(clip, audio)
        resampler = BlockResampler(audio.sample_rate, sample_rate)
        wanted_seconds = clip.record.end_seconds - clip.record.start_seconds
        first, count = round(start * audio.sample_rate), round(wanted_seconds * audio.sample_rate)
        left = min(resampler.context_frames, first // resampler.grid_frames * resampler.grid_frames)
        mono = _read_mono(audio, first=first - left, stop=first + count + resampler.context_frames)
    right = max(0, len(mono) - left - count)
    if len(mono) <= left:
        raise _wrong_length(clip, found_seconds=(first - left + len(mono)) / audio.sample_rate)
    samples = resampler.resample(mono[None], left_context=left, right_context=right)[0]
    waveform = np.zeros(round(wanted_seconds * sample_rate), np.float32)
    real = min(len(samples), len(waveform))
    waveform[:real] = samples[:real]
    return DecodedClip(waveform, sample_rate, real)


def probe_clip(clip: LabelledClip, *, storage: StoreOptions | None = None) -> float:
    """Look at the header of a clip, without decoding it where the header tells the length.

    Returns
    -------
    float
        Seconds of the excerpt that the audio holds.

    Raises
    ------
    RecordingError
        As `decode_clip` does, as far as a header shows it.
    """
    with _opened(clip.audio, storage) as audio:
        start = _excerpt_start(clip, audio)
        return min(_duration_seconds(audio) - start, clip.record.end_seconds - clip.record.start_seconds)


class _Audio(Protocol):
    @property
    def sample_rate(self) -> int: ...

    @property
    def frames(self) -> int | None: ...

    def blocks(self, block_frames: int) -> Iterator[NDArray[np.float32]]: ...


@dataclass(frozen=True, eq=False)
class _Packed:
    """Samples of a pack, as something that is read in blocks."""

    samples: NDArray[np.int16]
    sample_rate: int

    @property
    def frames(self) -> int:
        return len(self.samples)

    def blocks(self, block_frames: int) -> Iterator[NDArray[np.float32]]:
        for at in range(0, len(self.samples), block_frames):
            yield to_float(self.samples[None, at : at + block_frames])


@contextmanager
def _opened(clip: ClipAudio, storage: StoreOptions | None) -> Iterator[_Audio]:
    if clip.samples is not None:
        yield _Packed(clip.samples, clip.sample_rate or MODEL_RATE)
    elif clip.data is not None:
        with open_recording(io.BytesIO(clip.data), name=clip.location) as recording:
            yield recording
    else:
        file = Store(clip.location, storage).open()
        with file, open_recording(file, name=clip.location) as recording:
            yield recording


def _excerpt_start(clip: LabelledClip, audio: _Audio) -> float:
    """Find the second of the audio at which the excerpt begins."""
    if clip.holds == "excerpt":
        return 0.0
    record, duration = clip.record, _duration_seconds(audio)
    excerpt_seconds = record.end_seconds - record.start_seconds
    if clip.holds == "either" and duration <= excerpt_seconds + _LENGTH_TOLERANCE_SECONDS:
        return 0.0
    if duration >= record.end_seconds - _LENGTH_TOLERANCE_SECONDS:
        return record.start_seconds
    raise _wrong_length(clip, found_seconds=duration)


def _duration_seconds(audio: _Audio) -> float:
    frames = audio.frames
    if frames is None:
        frames = sum(block.shape[1] for block in audio.blocks(_BLOCK_FRAMES))
    return frames / audio.sample_rate


def _read_mono(audio: _Audio, *, first: int, stop: int) -> NDArray[np.float32]:
    """Read frames `first` to `stop`, or to the end of the audio, averaged over channels."""
    parts: list[NDArray[np.float32]] = []
    at = 0
    for block in audio.blocks(_BLOCK_FRAMES):
        kept = block[:, max(0, first - at) : max(0, stop - at)]
        if kept.shape[1]:
            parts.append(kept.mean(axis=0))
        at += block.shape[1]
        if at >= stop:
            break
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _wrong_length(clip: LabelledClip, *, found_seconds: float) -> RecordingError:
    record = clip.record
    recording = f"a recording of at least {record.end_seconds:g} s"
    excerpt = f"an excerpt of {record.end_seconds - record.start_seconds:g} s or "
    return RecordingError(
        clip.audio.location,
        expected=recording if clip.holds == "recording" else excerpt + recording,
        found=f"{found_seconds:g} s",
    )
