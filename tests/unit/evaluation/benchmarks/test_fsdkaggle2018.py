from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.evaluation.benchmarks.conftest import drawn, mixed, mixture_sdr, text
from uss_ray.errors import DataError

NAMES = ("00063640.wav", "0013a1db.wav", "002bb878.wav", "002d392d.wav")
LABELS = ("Gunshot_or_gunfire", "Saxophone", "Saxophone", "Chime")


def replica(clips: Callable[..., Path]) -> Path:
    folder = "FSDKaggle2018.audio_test"
    data = clips({f"{folder}/{name}": 300.0 * (1 + place) for place, name in enumerate(NAMES)})
    rows = [
        f"{name},{label},Public,{place},CC0"
        for place, (name, label) in enumerate(zip(NAMES, LABELS, strict=True))
    ]
    table = data / "FSDKaggle2018.meta" / "test_post_competition_scoring_clips.csv"
    text(table, "fname,label,usage,freesound_id,license", *rows)
    return data


def test_the_published_list_pairs_each_clip_with_the_next_of_the_table(clips) -> None:
    data = replica(clips)
    listed = drawn("fsdkaggle2018", data, protocol="published")
    assert len(listed.items) == 300
    after = {NAMES[0]: NAMES[1], NAMES[2]: NAMES[3], NAMES[3]: NAMES[0]}
    for item in listed.items:
        target, other = (source.path.rpartition("/")[2] for source in item.sources)
        assert after[target] == other
    # 0.05 against 0.10 of full scale, repeated to two seconds
    gunshot = next(item for item in listed.items if item.label == "Gunshot_or_gunfire")
    assert gunshot.sources[1].gain == pytest.approx(0.5, abs=1e-3)
    item = mixed(listed, data)
    assert mixture_sdr(item) == pytest.approx(0.0, abs=0.01)
    steps = item.mixture.astype(np.float64) * 2**15
    np.testing.assert_array_equal(steps, np.round(steps))


def test_the_strict_list_is_not_rounded_and_pairs_no_label_with_itself(clips) -> None:
    data = replica(clips)
    listed = drawn("fsdkaggle2018", data)
    assert {item.label for item in listed.items} == set(LABELS)
    for item in listed.items:
        assert item.sources[0].label != item.sources[1].label
    item = mixed(listed, data)
    assert len(item.mixture) == 64_000
    assert mixture_sdr(item) == pytest.approx(0.0, abs=0.01)


def test_a_table_without_a_column_is_named(clips) -> None:
    data = replica(clips)
    text(
        data / "FSDKaggle2018.meta" / "test_post_competition_scoring_clips.csv", "fname,usage", "a.wav,Public"
    )
    with pytest.raises(DataError, match="expected a column label, found fname, usage"):
        drawn("fsdkaggle2018", data)
