from __future__ import annotations

import math
from typing import Any

import pytest

from uss_ray.errors import ConfigError
from uss_ray.mining.settings import MiningSettings
from uss_ray.silence import MiningSilence


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
        ("keep_probability", -0.1),
        ("batch_size", 2.5),
        ("seed", -1),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"mining settings {name}: .*found {value!r}"):
        MiningSettings(**{name: value})


def test_an_empty_range_of_purity_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"min_purity: expected at most max_purity, 0\.5, found 0\.6"):
        MiningSettings(min_purity=0.6, max_purity=0.5)


def test_the_published_profile_rejects_nothing() -> None:
    published = MiningSettings.published()
    assert (published.anchors_per_label, published.min_probability) == (1, 0.0)
    assert published.silence.anchor_rejected_below_rms_dbfs is None
    assert "Infinity" not in published.canonical_json()


@pytest.mark.parametrize("level", [3.0, math.nan])
def test_a_level_of_silence_is_at_most_full_scale(level: float) -> None:
    with pytest.raises(ConfigError, match=r"mining silence anchor_rejected_below_rms_dbfs"):
        MiningSilence(anchor_rejected_below_rms_dbfs=level)
