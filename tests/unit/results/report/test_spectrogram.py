"""Spectrograms in bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from uss_ray.results.report.spectrogram import Spectrogram, SpectrogramMeter, TimePool, mel_positions

RATE = 16_000


def a_tone(hz: float, seconds: float, rate: int = RATE) -> npt.NDArray[np.float32]:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate).astype(np.float32)[None]


def measured(samples: npt.NDArray[np.float32], *, block: int, frames: int | None = None) -> Spectrogram:
    meter = SpectrogramMeter(RATE, frames=frames)
    for start in range(0, samples.shape[1], block):
        meter.add(samples[:, start : start + block])
    return meter.result()


@pytest.mark.parametrize("hz", [60.0, 440.0, 3000.0, 7000.0])
def test_a_tone_lights_the_band_of_its_frequency(hz: float) -> None:
    picture = measured(a_tone(hz, 1.0), block=4000)
    loudest = (picture.power_db.mean(axis=1).argmax() + 1) / (len(picture.power_db) + 1)
    assert loudest == pytest.approx(float(mel_positions(hz, top_hz=RATE / 2)), abs=0.03)


def test_the_block_size_does_not_change_the_picture() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 3 * RATE)).astype(np.float32)
    whole, small = measured(samples, block=10**6), measured(samples, block=777)
    np.testing.assert_allclose(whole.power_db, small.power_db, atol=1e-3)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seconds", [0.001, 0.5, 7.3, 61.0])
def test_the_width_is_bounded_and_used_whether_or_not_the_length_is_known(
    seconds: float, known: bool
) -> None:
    samples = a_tone(440.0, seconds)
    picture = measured(samples, block=RATE, frames=samples.shape[1] if known else None)
    assert 1 <= picture.power_db.shape[1] <= 600
    if seconds > 10:
        assert picture.power_db.shape[1] >= 300


def test_skipping_silence_gives_the_picture_of_feeding_it() -> None:
    tone, silence = a_tone(1000.0, 0.7), np.zeros((1, 5 * RATE + 123), np.float32)
    fed = measured(np.concatenate([silence, tone, silence, tone], axis=1), block=5000)
    meter = SpectrogramMeter(RATE)
    for _ in range(2):
        meter.add_silence(silence.shape[1], channels=1)
        meter.add(tone)
    np.testing.assert_allclose(meter.result().power_db, fed.power_db, atol=1e-3)


def test_a_click_is_seen_at_its_time() -> None:
    samples = np.zeros((1, 20 * RATE), np.float32)
    samples[0, 15 * RATE] = 1.0
    for frames in (samples.shape[1], None):
        picture = measured(samples, block=RATE, frames=frames)
        column = picture.power_db.max(axis=0).argmax()
        assert column / picture.power_db.shape[1] == pytest.approx(0.75, abs=0.01)


def test_silence_is_dark() -> None:
    silence = np.zeros((1, RATE), np.float32)
    picture, noise = measured(silence, block=RATE), measured(silence + 1e-4, block=RATE)
    assert picture.power_db.max() < picture.top_db - 100
    assert noise.top_db == noise.power_db.max()


def test_opposite_channels_do_not_cancel() -> None:
    tone = a_tone(440.0, 0.5)
    both = measured(np.concatenate([tone, -tone]), block=RATE)
    np.testing.assert_allclose(both.power_db, measured(tone, block=RATE).power_db, atol=1e-3)


def test_pooled_columns_are_means_after_any_number_of_halvings() -> None:
    pool = TimePool(1, max_columns=4)
    pool.add(np.arange(11, dtype=np.float32)[:, None])
    assert pool.means()[:, 0].tolist() == [1.5, 5.5, 9.0]
    pool.add_zeros(6)
    assert pool.means()[:, 0].tolist() == [pytest.approx(28 / 8), pytest.approx(27 / 8), 0.0]
