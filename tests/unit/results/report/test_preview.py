"""MP3 copies that a page carries inside, or beside it."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.errors import OutputError
from uss_ray.results.report.preview import PreviewEncoder, SoundCopy


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


def test_a_long_stream_is_cut() -> None:
    with PreviewEncoder(8000, channels=1, max_seconds=1.0) as encoder:
        for _ in range(5):
            encoder.write(a_tone(8000, 1, 0.7))
        data = encoder.result()
    assert soundfile.info(io.BytesIO(data)).duration == pytest.approx(1.0, abs=0.15)


def test_one_sample_still_gives_a_file_that_plays() -> None:
    with PreviewEncoder(48000, channels=1, max_seconds=1.0) as encoder:
        encoder.write(np.ones((1, 1), np.float32))
        assert soundfile.info(io.BytesIO(encoder.result())).duration >= 0.1


def write_copy(path: Path, sound: np.ndarray, *, seconds: float = math.inf) -> None:
    with SoundCopy(path, 16000, channels=len(sound), max_seconds=seconds) as copy:
        for start in range(0, sound.shape[1], 5000):
            copy.write(sound[:, start : start + 5000])
        copy.finish()


def test_a_copy_beside_a_page_holds_all_of_the_sound_at_a_constant_rate(tmp_path: Path) -> None:
    tone, quiet = a_tone(16000, 2, 20.0), np.zeros((2, 20 * 16000), np.float32)
    write_copy(tmp_path / "deep" / "tone.mp3", tone)
    write_copy(tmp_path / "quiet.mp3", quiet)
    decoded, rate = soundfile.read(tmp_path / "deep" / "tone.mp3")
    assert len(decoded) / rate == pytest.approx(20, abs=0.15)
    sizes = [(tmp_path / name).stat().st_size for name in ("deep/tone.mp3", "quiet.mp3")]
    assert sizes[0] == sizes[1]  # a place in seconds is a place in bytes


def test_a_copy_of_the_beginning_ends_there(tmp_path: Path) -> None:
    write_copy(tmp_path / "a.mp3", a_tone(16000, 1, 4.0), seconds=2.0)
    assert soundfile.info(tmp_path / "a.mp3").duration == pytest.approx(2.0, abs=0.15)


def test_a_copy_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    def give_up() -> None:
        with SoundCopy(tmp_path / "a.mp3", 16000, channels=1, max_seconds=9.0) as copy:
            copy.write(a_tone(16000, 1, 1.0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without room")
def test_a_full_disk_is_an_error_of_the_family(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left"):
        write_copy(tmp_path / "a.mp3", a_tone(16000, 1, 60.0))


def test_a_place_that_cannot_be_written_is_an_error_of_the_family(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/a\.mp3"):
        write_copy(tmp_path / "file" / "a.mp3", a_tone(16000, 1, 1.0))
