from __future__ import annotations

import numpy as np
import pytest

from uss_ray.evaluation.metrics import is_silent, sdr, sdr_improvement, si_sdr, snr


def test_sdr_is_the_energy_ratio_in_db() -> None:
    reference = np.ones((2, 100))
    noise = np.full((2, 100), 0.1)
    assert np.allclose(sdr(reference + noise, reference), 20.0)


def test_improvement_is_zero_for_the_mixture_itself() -> None:
    rng = np.random.default_rng(0)
    reference, mixture = rng.standard_normal((2, 3, 400))
    assert np.allclose(sdr_improvement(mixture, reference, mixture), 0)


def test_a_perfect_estimate_is_finite() -> None:
    assert np.isfinite(sdr(np.ones(4), np.ones(4)))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="expected shape"):
        sdr(np.ones(3), np.ones(4))


def test_a_scaled_reference_is_perfect_for_the_scale_invariant_ratio_alone() -> None:
    rng = np.random.default_rng(0)
    reference, noise = rng.standard_normal((2, 1000))
    noise -= (noise @ reference) / (reference @ reference) * reference
    estimate = 3 * (reference + 0.1 * noise)
    expected = 20 + 10 * np.log10(np.square(reference).sum() / np.square(noise).sum())
    assert float(si_sdr(estimate, reference)) == pytest.approx(expected)
    assert float(snr(estimate / 3, reference)) == pytest.approx(expected, abs=1e-4)
    assert float(sdr(estimate, reference)) < 0


def test_silence_is_told() -> None:
    assert is_silent(np.zeros(10))
    assert not is_silent(np.full(10, 1e-4))
