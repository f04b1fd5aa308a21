from __future__ import annotations

import numpy as np
import pytest

from uss_ray.training.augmentation import add_room, augment, change_speed, tilt_spectrum
from uss_ray.training.recipe import AugmentationSettings

RATE, SAMPLES = 8000, 8000
EVERYTHING = AugmentationSettings(speed=0.07, tilt_db_per_octave=3.0, polarity=True, room=1.0)


def tone(hertz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(SAMPLES) / RATE).astype(np.float32)


def loudest_hertz(waveform: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)))).argmax() * RATE / len(waveform))


def level_db(waveform: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(waveform[1000:-1000] ** 2)))


@pytest.mark.parametrize("factor", [0.93, 1.0, 1.07])
def test_speed_changes_pitch_and_keeps_the_length(factor):
    played = change_speed(tone(1000), factor=factor)
    assert len(played) == SAMPLES
    assert loudest_hertz(played[:7000]) == pytest.approx(1000 * factor, abs=3)


def test_a_tilt_turns_around_one_kilohertz():
    changes = [
        level_db(tilt_spectrum(tone(hertz), sample_rate=RATE, db_per_octave=3.0)) - level_db(tone(hertz))
        for hertz in (500, 1000, 2000)
    ]
    assert changes == pytest.approx([-3, 0, 3], abs=0.05)


def test_a_room_lies_so_far_below_the_direct_sound():
    rng = np.random.default_rng(0)
    dry = rng.standard_normal(SAMPLES).astype(np.float32)
    wet = add_room(dry, sample_rate=RATE, ratio_db=-10, generator=rng)
    late = wet - dry
    assert 10 * np.log10(np.mean(late**2) / np.mean(dry**2)) == pytest.approx(-10, abs=0.01)
    silence = np.zeros(SAMPLES, np.float32)
    assert (add_room(silence, sample_rate=RATE, ratio_db=-10, generator=rng) == silence).all()


def test_all_draws_come_from_the_generator():
    one, again, other = (
        augment(tone(700), sample_rate=RATE, settings=EVERYTHING, generator=np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    assert (one == again).all()
    assert (one != other).any()
    assert one.dtype == np.float32
    assert len(one) == SAMPLES


def test_one_setting_does_not_shift_the_draws_of_another():
    alone, with_speed = (
        augment(tone(700), sample_rate=RATE, settings=settings, generator=np.random.default_rng(3))
        for settings in (AugmentationSettings(polarity=True), AugmentationSettings(polarity=True, speed=1e-6))
    )
    assert np.corrcoef(alone, with_speed)[0, 1] > 0.999


def test_nothing_asked_leaves_the_source_as_it_is():
    source = tone(700)
    assert (
        augment(source, sample_rate=RATE, settings=AugmentationSettings(), generator=np.random.default_rng(0))
        is source
    )
