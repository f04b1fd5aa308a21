from __future__ import annotations

import pytest

from uss_ray.pipelines.training.scores import TITLES, alike, comparable, measured_on, score_name, told


@pytest.mark.parametrize("name", TITLES)
def test_a_line_is_compared_by_the_score_it_has(name: str) -> None:
    assert score_name({"step": 3, name: 0.5, "classes": {}}) == name


def test_lines_are_compared_with_those_that_were_measured_on_the_same() -> None:
    lines = [
        {"step": 1, "sdri_db": 3.0, "query": "class-mean", "list_sha256": "a"},
        {"step": 2, "sdri_db": 9.0, "query": "oracle", "list_sha256": "a"},
        {"step": 3, "sdri_db": 2.0, "query": "class-mean", "list_sha256": "b"},
        {"step": 4, "sdri_db": 4.0, "query": "class-mean", "list_sha256": "a"},
    ]
    assert [line["step"] for line in comparable(lines)] == [1, 4]
    assert measured_on(lines[1]) == {"query": "oracle", "list_sha256": "a"}
    assert comparable([]) == []
    assert [[line["step"] for line in group] for group in alike(lines)] == [[1, 4], [2], [3]]


def test_a_score_is_said_with_what_it_was_measured_on() -> None:
    of_mixtures = {"step": 4, "sdri_db": -0.001, "query": "oracle", "pairs": 50}
    assert told(of_mixtures) == "SDRi 0.00 dB, oracle query, 50 mixtures"
    assert told({"step": 4, "mean_average_precision": 0.25, "clips": 22}) == "mAP 0.250, 22 clips"
