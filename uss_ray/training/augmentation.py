"""Change a source as another recording of the same thing would differ: speed, tone, polarity, room.

Owns the arithmetic and the ranges; every draw comes from the generator that is handed in.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import soxr
from numpy.typing import NDArray

from uss_ray.training.recipe import AugmentationSettings

TILT_PIVOT_HZ = 1000.0
LOWEST_HZ = 50.0
ROOM_SECONDS = (0.1, 0.6)
_FFT_GRAIN = 4096
DECAY_TO = 6.9  # natural logarithm of 60 dB in amplitude


def augment(
    waveform: NDArray[np.float32],
    *,
    sample_rate: int,
    settings: AugmentationSettings,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Change a source.

    Parameters
    ----------
    waveform : ndarray of shape (samples,), dtype=float32
    sample_rate : int
        In Hz.
    settings : AugmentationSettings
    generator : Generator

    Returns
    -------
    ndarray of shape (samples,), dtype=float32
        Of the same length: what a slower one has too much is cut, what a faster one lacks is silence at its end.
    """
    if settings.is_off:
        return waveform
    # As many numbers are drawn whatever is on, so that one setting does not shift the draws of another.
    speed, tilt, sign, in_room, ratio = generator.random(5)
    changed = waveform
    if settings.speed:
        changed = change_speed(changed, factor=1.0 + settings.speed * (2.0 * speed - 1.0))
    if settings.tilt_db_per_octave:
        slope = settings.tilt_db_per_octave * (2.0 * tilt - 1.0)
        changed = tilt_spectrum(changed, sample_rate=sample_rate, db_per_octave=slope)
    if settings.room and in_room < settings.room:
        low, high = settings.room_ratio_db
        changed = add_room(
            changed, sample_rate=sample_rate, ratio_db=low + (high - low) * ratio, generator=generator
        )
    if settings.polarity and sign < 0.5:
        changed = -changed
    return changed.astype(np.float32, copy=False)


def change_speed(waveform: NDArray[np.float32], *, factor: float) -> NDArray[np.float32]:
    """Play faster (above 1) or slower; the length stays, see `augment`."""
    samples = len(waveform)
    played = soxr.resample(waveform, 1.0, 1.0 / factor, quality="HQ")[:samples]
    return np.pad(played, (0, samples - len(played))).astype(np.float32, copy=False)


def tilt_spectrum(
    waveform: NDArray[np.float32], *, sample_rate: int, db_per_octave: float
) -> NDArray[np.float32]:
    """Raise or lower high against low frequencies; 1 kHz stays as it is."""
    size = len(waveform)
    octaves = _octaves(size, sample_rate)
    gains = np.exp(octaves * np.float32(db_per_octave * math.log(10.0) / 20.0))
    return np.fft.irfft(np.fft.rfft(waveform) * gains, size).astype(np.float32, copy=False)


@lru_cache(maxsize=8)
def _octaves(samples: int, sample_rate: int) -> NDArray[np.float32]:
    frequencies = np.fft.rfftfreq(samples, 1.0 / sample_rate)
    return np.log2(np.maximum(frequencies, LOWEST_HZ) / TILT_PIVOT_HZ).astype(np.float32)


def add_room(
    waveform: NDArray[np.float32], *, sample_rate: int, ratio_db: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Add exponentially decaying reverberation, `ratio_db` against the direct sound."""
    low, high = ROOM_SECONDS
    length = int(sample_rate * (low + (high - low) * generator.random()))
    decay = np.exp(np.linspace(0.0, -DECAY_TO, length, dtype=np.float32))
    response = generator.standard_normal(length, np.float32) * decay
    # A length with a large prime factor would take ten times as long.
    size = -(-(len(waveform) + length) // _FFT_GRAIN) * _FFT_GRAIN
    product = np.fft.rfft(waveform, size) * np.fft.rfft(response, size)
    reverberant = np.fft.irfft(product, size)[: len(waveform)]
    direct, late = np.sqrt(np.mean(waveform**2)), np.sqrt(np.mean(reverberant**2))
    if late == 0.0:
        return waveform
    gain = direct / late * 10.0 ** (ratio_db / 20.0)
    return (waveform + gain * reverberant).astype(np.float32)
