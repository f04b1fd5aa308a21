from __future__ import annotations

import math
from typing import Any

import pytest

from uss_ray.errors import ConfigError
from uss_ray.mining.settings import MiningSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "best"),
        ("conditions", "hard"),
        ("anchor_seconds", 0),
        ("anchor_seconds", math.nan),
        ("anchor_seconds", 11.0),
        ("anchors_per_label", 0),
        ("min_probability", 1.5),
        ("silence_db", 3.0),
        ("silence_db", math.nan),
        ("keep_probability", -0.1),
        ("batch_size", 2.5),
        ("seed", -1),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"mining setting {name}: .*found {value}"):
        MiningSettings(**{name: value})


def test_an_empty_range_of_purity_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"min_purity: expected at most max_purity, 0\.5, found 0\.6"):
        MiningSettings(min_purity=0.6, max_purity=0.5)


def test_the_published_profile_rejects_nothing() -> None:
    published = MiningSettings.published()
    assert (published.anchors_per_label, published.min_probability, published.silence_db) == (
        1,
        0.0,
        -math.inf,
    )
