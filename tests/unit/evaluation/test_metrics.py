from __future__ import annotations

import numpy as np
import pytest

from uss_ray.evaluation.metrics import sdr, sdr_improvement


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
