from __future__ import annotations

import math

import pytest

from uss_ray.config import Settings
from uss_ray.errors import ConfigError
from uss_ray.separation.settings import NetworkSettings, SeparationSettings


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (SeparationSettings, "threshold", 1.1),
        (SeparationSettings, "condition", "oracle"),
        (SeparationSettings, "hierarchy", "flat"),
        (SeparationSettings, "segment_seconds", 0),
        (SeparationSettings, "segment_seconds", 1.5),
        (SeparationSettings, "joins", "soft"),
        (SeparationSettings, "context_seconds", -0.1),
        (SeparationSettings, "fade_seconds", math.nan),
        (SeparationSettings, "channel_mode", "left"),
        (SeparationSettings, "silence", {"untagged_below_rms_dbfs": 3.0}),
        (SeparationSettings, "silence", {"stem_silent_below_peak_dbfs": -math.inf}),
        (NetworkSettings, "batch_size", 0),
        (NetworkSettings, "span_segments", 0),
        (NetworkSettings, "precision", "float16"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(model: type[Settings], name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        model(**{name: value})


def test_a_fade_needs_context_on_both_sides() -> None:
    with pytest.raises(ConfigError, match="fade_seconds"):
        SeparationSettings(context_seconds=0.1, fade_seconds=0.3)
    with pytest.raises(ConfigError, match="fade_seconds"):
        SeparationSettings(segment_seconds=1, context_seconds=2.0, fade_seconds=1.5)


def test_hard_joins_have_no_context() -> None:
    with pytest.raises(ConfigError, match="context_seconds"):
        SeparationSettings(joins="hard")


def test_batches_are_small_for_what_does_not_fill_them_is_padded() -> None:
    assert NetworkSettings().batch_size == 4


def test_the_published_profile_is_hard_segments_of_two_seconds_above_a_fifth() -> None:
    settings = SeparationSettings.published()
    assert (settings.joins, settings.segment_seconds, settings.threshold) == ("hard", 2, 0.2)
    assert (settings.context_seconds, settings.fade_seconds, settings.condition) == (0.0, 0.0, "detected")


def test_the_published_profile_tags_silence_and_writes_stems_as_others_do() -> None:
    silence = SeparationSettings.published().silence
    assert silence.untagged_below_rms_dbfs is None
    assert silence.stem_silent_below_peak_dbfs == SeparationSettings().silence.stem_silent_below_peak_dbfs
