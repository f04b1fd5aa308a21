from __future__ import annotations

import pytest

from tests.unit.evaluation.benchmarks.conftest import drawn, text
from tests.unit.evaluation.benchmarks.test_fsdkaggle2018 import LABELS, NAMES, replica
from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.benchmarks.known import find_benchmark
from uss_ray.store.store import Store


def test_a_check_says_what_is_there_and_what_cannot_be_read(clips) -> None:
    data = replica(clips)
    folder = data / "FSDKaggle2018.audio_test"
    (folder / NAMES[0]).unlink()
    (folder / NAMES[1]).write_bytes(b"RIFF")
    check = find_benchmark("fsdkaggle2018").check(Store(data), "test")
    assert (check.expected, check.found, check.share) == (4, 3, 0.75)
    assert check.missing == (f"FSDKaggle2018.audio_test/{NAMES[0]}",)
    assert check.labels == {"Chime": 1, "Saxophone": 2}
    assert check.rates == {44_100: 2}
    assert NAMES[1] in check.unreadable[0]


def test_a_split_or_protocol_that_there_is_not_is_refused(clips) -> None:
    data = replica(clips)
    with pytest.raises(ConfigError, match="fsdkaggle2018 split: expected test or train, found eval"):
        drawn("fsdkaggle2018", data, split="eval")
    with pytest.raises(ConfigError, match="esc50 protocol: expected strict, found published"):
        drawn("esc50", data, protocol="published")


def test_a_list_of_nothing_is_refused(tmp_path) -> None:
    text(tmp_path / "meta" / "esc50.csv", "filename,fold,category")
    with pytest.raises(DataError, match="found none"):
        drawn("esc50", tmp_path)
    assert len(LABELS) == 4


def test_a_table_whose_last_line_is_cut_off_is_refused(tmp_path) -> None:
    text(tmp_path / "meta" / "esc50.csv", "filename,fold,category", "a.wav,5,dog", "b.wav,5")
    with pytest.raises(DataError, match=r"esc50.csv line 3: expected a category"):
        drawn("esc50", tmp_path)
