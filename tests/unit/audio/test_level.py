"""Levels of tones, noise and silence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from uss_ray.audio.level import dbfs, peak, rms


def test_a_full_scale_sine_has_an_rms_3_db_below_its_peak() -> None:
    sine = np.sin(2 * np.pi * np.arange(32000) * 1000 / 32000).astype(np.float32)
    assert peak(sine) == pytest.approx(1.0, abs=1e-6)
    assert dbfs(rms(sine)) == pytest.approx(-3.0103, abs=1e-3)


def test_the_peak_may_be_negative() -> None:
    assert peak(np.array([[0.25, -0.5], [0.1, 0.0]], dtype=np.float32)) == 0.5


def test_rms_of_a_long_quiet_signal_does_not_lose_precision() -> None:
    quiet = np.full((2, 1_000_000), 1e-4, dtype=np.float32)
    assert rms(quiet) == pytest.approx(float(np.float32(1e-4)), rel=1e-12)


def test_silence_and_emptiness_lie_at_minus_infinity() -> None:
    for waveform in (np.zeros((2, 100), dtype=np.float32), np.zeros((2, 0), dtype=np.float32)):
        assert peak(waveform) == rms(waveform) == 0.0
        assert dbfs(peak(waveform)) == -math.inf


def test_a_negative_amplitude_has_no_level() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        dbfs(-1.0)
