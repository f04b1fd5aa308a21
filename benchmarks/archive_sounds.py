"""Recordings to measure with: of any length, from the example archive or of noise."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile
import soxr

EXAMPLES = Path(__file__).parents[1] / "examples" / "archive"
_BLOCK_SECONDS = 30


def field_recordings(folder: Path, *, count: int, seconds: float) -> float:
    """Write recordings of the example archive's sounds, every third of them in 48 kHz stereo; give their length in s.

    The others are 32 kHz mono. Each begins elsewhere in the sounds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sounds = {rate: _example_sounds(rate) for rate in (32_000, 48_000)}
    for number in range(count):
        rate, channels = (48_000, 2) if number % 3 == 0 else (32_000, 1)
        sound = sounds[rate]
        frames = round(seconds * rate)
        places = (np.arange(frames) + number * len(sound) // max(1, count)) % len(sound)
        soundfile.write(folder / f"{number:05}.flac", sound[places][:, :channels], rate, "PCM_16")
    return count * seconds


def noises(folder: Path, *, count: int, seconds: float, sample_rate: int, different: int = 16) -> None:
    """Write short mono recordings of noise as WAV; of many, most are links to the first few."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number:06}.wav"
        if number < different:
            samples = 0.1 * rng.standard_normal(round(seconds * sample_rate))
            soundfile.write(path, samples, sample_rate, "PCM_16")
        else:
            os.link(folder / f"{number % different:06}.wav", path)


def long_noise(path: Path, *, seconds: float, sample_rate: int, channels: int) -> None:
    """Write one recording of noise as FLAC, block after block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    left = round(seconds * sample_rate)
    block = 0.1 * rng.standard_normal((_BLOCK_SECONDS * sample_rate, channels)).astype(np.float32)
    with soundfile.SoundFile(path, "w", sample_rate, channels, "PCM_16") as out:
        while left > 0:
            out.write(block[:left])
            left -= min(left, len(block))


def _example_sounds(rate: int) -> np.ndarray:
    pieces = []
    for source in sorted(path for path in EXAMPLES.iterdir() if path.suffix not in {".md", ".csv"}):
        audio, native = soundfile.read(source, dtype="float32", always_2d=True)
        audio = soxr.resample(audio, native, rate)
        pieces.append(audio if audio.shape[1] == 2 else np.repeat(audio, 2, axis=1))
    return np.concatenate(pieces)
