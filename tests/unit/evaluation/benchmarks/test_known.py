from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.evaluation.benchmarks.known import BENCHMARKS, find_benchmark


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_has_a_card_of_its_name(name: str) -> None:
    card = find_benchmark(name).card
    assert card.name == name
    assert all(
        (card.title, card.revision, card.main_score, card.unit, card.licence, card.citation, card.layout)
    )


def test_an_unknown_name_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"expected audiosep or audioset or clapsep or .*, found musdb"):
        find_benchmark("musdb")
