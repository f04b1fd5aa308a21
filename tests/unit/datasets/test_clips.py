from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.datasets.clips import LoadedClips
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import DataError


def test_clips_are_mixed_down_resampled_and_padded(tmp_path: Path) -> None:
    time = np.arange(24000) / 48000
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "Ya.wav", np.stack((tone, tone), axis=1), 48000)
    store = LoadedClips.load([ClipRecord("a", 0, 1, (1,))], tmp_path, classes=2, clip_seconds=1.0)
    audio = store.waveform(0)
    assert audio.shape == (32000,)
    assert np.abs(audio[2000:14000]).max() == pytest.approx(0.5, abs=0.01)
    assert np.abs(audio[16100:]).max() < 1e-3
    assert store.labels.tolist() == [[0.0, 1.0]]


def test_a_clip_without_audio_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "other.wav", np.zeros(100), 32000)
    with pytest.raises(DataError, match="gone"):
        LoadedClips.load([ClipRecord("gone", 0, 1, (0,))], tmp_path, classes=1)


@pytest.mark.parametrize("broken", ["a", "b"])
def test_a_clip_is_loaded_from_the_copy_that_can_be_read(tmp_path: Path, broken: str) -> None:
    record = ClipRecord("x", 0, 1, (0,))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "x.wav", np.full(32000, 0.5), 32000)
    (tmp_path / broken / "x.wav").write_bytes(b"RIFF and no more")
    loaded = LoadedClips.load([record], tmp_path, classes=1, clip_seconds=1.0)
    assert loaded.waveform(0) == pytest.approx(0.5, abs=1e-3)
    for folder in ("a", "b"):
        (tmp_path / folder / "x.wav").write_bytes(b"RIFF and no more")
    with pytest.raises(DataError, match=r"x\.wav"):
        LoadedClips.load([record], tmp_path, classes=1, clip_seconds=1.0)
