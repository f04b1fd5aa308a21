from __future__ import annotations

from itertools import pairwise

import pytest

from uss_ray.training.schedules import warmup_cosine


def test_the_rate_rises_to_one_and_falls_to_the_floor_and_stays() -> None:
    rates = [warmup_cosine(step, warmup_steps=10, total_steps=100, floor=0.1) for step in range(151)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(rates) == rates[10] == 1.0
    assert all(later <= earlier for earlier, later in pairwise(rates[10:]))
    assert rates[100:] == pytest.approx([0.1] * 51)
