"""MP3 copies that a page carries inside."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.results.report.preview import PreviewEncoder, preview_of_file


def a_tone(rate: int, channels: int, seconds: float) -> np.ndarray:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
    return np.tile(tone, (channels, 1)).astype(np.float32)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22000, 2), (44100, 2), (96000, 1), (192000, 8)])
def test_any_rate_and_number_of_channels_gives_an_mp3_of_the_same_sound(rate: int, channels: int) -> None:
    tone = a_tone(rate, channels, 1.5)
    with PreviewEncoder(rate, channels=channels, max_seconds=10) as encoder:
        for start in range(0, tone.shape[1], 4096):
            encoder.write(tone[:, start : start + 4096])
        decoded, decoded_rate = soundfile.read(io.BytesIO(encoder.result()), always_2d=True)
    assert len(decoded) / decoded_rate == pytest.approx(1.5, abs=0.15)
    assert decoded.shape[1] == (channels if channels <= 2 else 1)
    spectrum = np.abs(np.fft.rfft(decoded[:, 0]))
    assert spectrum.argmax() * decoded_rate / len(decoded) == pytest.approx(440, abs=3)
    assert not encoder.is_cut


def test_a_long_stream_is_cut_and_says_so() -> None:
    with PreviewEncoder(8000, channels=1, max_seconds=1.0) as encoder:
        for _ in range(5):
            encoder.write(a_tone(8000, 1, 0.7))
        data = encoder.result()
    assert encoder.is_cut
    assert soundfile.info(io.BytesIO(data)).duration == pytest.approx(1.0, abs=0.15)


def test_one_sample_still_gives_a_file_that_plays() -> None:
    with PreviewEncoder(48000, channels=1, max_seconds=1.0) as encoder:
        encoder.write(np.ones((1, 1), np.float32))
        assert soundfile.info(io.BytesIO(encoder.result())).duration >= 0.1


def test_a_file_is_read_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a b.flac"
    soundfile.write(path, a_tone(16000, 2, 4.0).T, 16000)
    assert soundfile.info(io.BytesIO(preview_of_file(path, max_seconds=2.0))).duration == pytest.approx(
        2.0, abs=0.15
    )
