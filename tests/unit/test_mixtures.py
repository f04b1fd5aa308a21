from __future__ import annotations

import numpy as np
import pytest

from uss_ray.mixtures import matching_gain


def test_energies_are_matched_within_the_published_limits():
    rng = np.random.default_rng(0)
    target, other = rng.standard_normal((2, 1000)).astype(np.float32)
    matched = 3 * other * matching_gain(target, 3 * other)
    assert np.square(matched).sum() == pytest.approx(np.square(target).sum(), rel=1e-5)
    assert matching_gain(target, 1e-3 * other) == pytest.approx(50)
    assert matching_gain(1e-3 * target, other) == pytest.approx(0.02)
    assert matching_gain(target, np.zeros(1000, np.float32)) == pytest.approx(50)
