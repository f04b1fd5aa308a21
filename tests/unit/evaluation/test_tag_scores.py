from __future__ import annotations

import numpy as np
import pytest

from uss_ray.evaluation.label_metrics import average_precision, d_prime
from uss_ray.evaluation.tag_scores import score_tags


def test_scores_are_those_of_classes_over_clips_and_their_intervals_of_clips_drawn_again() -> None:
    rng = np.random.default_rng(0)
    true = [tuple(name for name in "abc" if rng.random() < 0.4) for _ in range(80)]
    probs = [{name: float(rng.normal(name in own)) for name in "ab"} for own in true]
    found = score_tags(probs, true)
    for name in "ab":
        scores, truth = np.array([own[name] for own in probs]), np.array([name in own for own in true])
        assert found.classes[name]["map"] == pytest.approx(average_precision(scores, truth))
        assert found.classes[name]["d_prime"] == pytest.approx(d_prime(scores, truth))
    assert found.undefined == {"map": 1, "d_prime": 1}
    average = found.averages["d_prime"]
    assert average.value == pytest.approx(np.mean([own["d_prime"] for own in found.classes.values()]))
    # of two unit normals one apart the index is 1; Hanley and McNeil's error of it is some 0.3 a class
    assert 0.5 < average.high - average.low < 1.2
    assert average.low < 1.0 < average.high
    nothing = score_tags([{"a": 0.5}, {"a": 0.1}], [(), ()])
    assert nothing.averages["map"].value is None
    assert score_tags([], []).averages["map"].value is None
