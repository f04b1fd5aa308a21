from __future__ import annotations

import pytest

from uss_ray.pipelines.training.scores import TITLES, score_name


@pytest.mark.parametrize("name", TITLES)
def test_a_line_is_compared_by_the_score_it_has(name: str) -> None:
    assert score_name({"step": 3, name: 0.5, "classes": {}}) == name
