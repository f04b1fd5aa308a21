"""Against the figures that the released program's library gave for the same signals."""

from __future__ import annotations

import numpy as np
import pytest

from uss_ray.evaluation.metrics import sdr, si_sdr
from uss_ray.evaluation.speech_metrics import (
    composites,
    log_likelihood_ratio,
    pesq_wide_band,
    segmental_snr,
    spectral_slopes,
    stoi,
)

RATE = 16_000
PESQ = 1.661309


@pytest.fixture(scope="module")
def sounds() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    time = np.arange(64_000) / RATE
    reference = np.sin(2 * np.pi * 220 * time) * (np.sin(2 * np.pi * 1.5 * time) > 0)
    reference = reference + 0.05 * rng.standard_normal(64_000)
    return reference + 0.1 * rng.standard_normal(64_000), reference


def test_each_is_what_the_reference_gave(sounds) -> None:
    assert segmental_snr(*sounds, sample_rate=RATE) == pytest.approx(5.865091571410397, abs=1e-3)
    assert log_likelihood_ratio(*sounds, sample_rate=RATE) == pytest.approx(0.1053902939, abs=1e-3)
    assert spectral_slopes(*sounds, sample_rate=RATE) == pytest.approx(25.8984134973, abs=1e-3)
    found = composites(*sounds, sample_rate=RATE, pesq=PESQ)
    assert found == pytest.approx((3.753236995, 2.616317578, 2.696105023), abs=1e-3)
    assert float(sdr(*sounds)) == pytest.approx(13.995495153, abs=1e-6)
    assert float(si_sdr(*sounds)) == pytest.approx(13.989156938, abs=1e-6)


def test_intelligibility_is_the_library_s(sounds) -> None:
    estimate, reference = sounds
    assert 0.5 < stoi(estimate, reference) < stoi(reference, reference) == pytest.approx(1.0)


def test_pesq_is_the_library_s(sounds) -> None:
    pytest.importorskip("pesq")
    assert pesq_wide_band(*sounds) == pytest.approx(PESQ, abs=1e-3)
    assert pesq_wide_band(np.zeros(RATE), np.zeros(RATE)) is None


def test_a_perfect_estimate_is_at_the_ends_of_all_scales(sounds) -> None:
    _, reference = sounds
    assert segmental_snr(reference, reference, sample_rate=RATE) == 35.0
    assert log_likelihood_ratio(reference, reference, sample_rate=RATE) == pytest.approx(0.0, abs=1e-9)
    assert spectral_slopes(reference, reference, sample_rate=RATE) == 0.0
