from __future__ import annotations

import pytest

from uss_ray.cli.arguments import parse_levels, spread_lists
from uss_ray.errors import ConfigError


def test_levels_after_one_flag_are_spread():
    assert spread_lists(["separate", "a.wav", "--levels", "1", "2", "3", "-o", "out"]) == [
        "separate", "a.wav", "--levels", "1", "--levels", "2", "--levels", "3", "-o", "out"]  # fmt: skip


def test_a_recording_after_a_list_is_not_eaten():
    assert spread_lists(["--levels", "1", "a b.wav"]) == ["--levels", "1", "a b.wav"]
    assert spread_lists(["--classes", "Dog", "a.m4a"]) == ["--classes", "Dog", "a.m4a"]
    assert spread_lists(["--classes", "Speech", "Dog", "s3://bucket/x"]) == [
        "--classes", "Speech", "--classes", "Dog", "s3://bucket/x"]  # fmt: skip
    assert spread_lists(["--exclude", "/m/0jbk", "日の出.FLAC"]) == ["--exclude", "/m/0jbk", "日の出.FLAC"]


def test_repeated_flags_and_equals_signs_stay_as_they_are():
    arguments = ["--levels", "1", "--levels", "2", "--levels=3", "--classes=Speech"]
    assert spread_lists(arguments) == arguments


def test_nothing_is_spread_after_two_dashes():
    assert spread_lists(["--levels", "1", "2", "--", "--levels", "3", "4"]) == [
        "--levels", "1", "--levels", "2", "--", "--levels", "3", "4"]  # fmt: skip


def test_a_flag_without_values_is_left_for_the_parser_to_refuse():
    assert spread_lists(["--levels", "-o", "out"]) == ["--levels", "-o", "out"]


def test_a_label_with_a_comma_is_one_class():
    assert spread_lists(["--classes", "Child speech, kid speaking", "5"]) == [
        "--classes", "Child speech, kid speaking", "--classes", "5"]  # fmt: skip


@pytest.mark.parametrize(("texts", "levels"), [(["1,2,3"], (1, 2, 3)), (["3", "1,", "3"], (3, 1)), ([], ())])
def test_levels_are_read_with_commas_and_once_each(texts, levels):
    assert parse_levels(texts) == levels


@pytest.mark.parametrize("text", ["x", "1-3", "-1", "0", "1.5", ""])
def test_a_level_that_is_no_whole_number_from_1_is_refused(text):
    with pytest.raises(ConfigError, match="--levels: expected whole numbers from 1 up"):
        parse_levels([text])
