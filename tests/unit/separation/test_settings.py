from __future__ import annotations

import math

import pytest

from uss_ray.errors import ConfigError
from uss_ray.separation.settings import SeparationSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 1.1),
        ("condition", "oracle"),
        ("segment_seconds", 0),
        ("segment_seconds", 1.5),
        ("joins", "soft"),
        ("context_seconds", -0.1),
        ("fade_seconds", math.nan),
        ("channel_mode", "left"),
        ("batch_size", 0),
        ("span_segments", 0),
        ("silence_db", 3.0),
        ("precision", "float16"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        SeparationSettings(**{name: value})  # type: ignore[arg-type]


def test_a_fade_needs_context_on_both_sides() -> None:
    with pytest.raises(ConfigError, match="fade_seconds"):
        SeparationSettings(context_seconds=0.1, fade_seconds=0.3)
    with pytest.raises(ConfigError, match="fade_seconds"):
        SeparationSettings(segment_seconds=1, context_seconds=2.0, fade_seconds=1.5)


def test_hard_joins_have_no_context() -> None:
    with pytest.raises(ConfigError, match="context_seconds"):
        SeparationSettings(joins="hard")


def test_batches_are_small_for_what_does_not_fill_them_is_padded() -> None:
    assert SeparationSettings().batch_size == SeparationSettings.published().batch_size == 4


def test_the_published_profile_is_hard_segments_of_two_seconds_above_a_fifth() -> None:
    settings = SeparationSettings.published()
    assert (settings.joins, settings.segment_seconds, settings.threshold) == ("hard", 2, 0.2)
    assert (settings.context_seconds, settings.fade_seconds, settings.condition) == (0.0, 0.0, "detected")
    assert settings.silence_db == -math.inf
