from __future__ import annotations

import pytest

from uss_ray.cli.arguments import Shape, Told, read_arguments
from uss_ray.errors import ConfigError

SHAPES = {
    "--levels": Shape.NUMBERS,
    "--classes": Shape.NAMES,
    "--text": Shape.REPEATED,
    "--output": Shape.ONE,
    "-o": Shape.ONE,
    "--silence": Shape.ONE,
    "--report": Shape.SWITCH,
}


def read(*arguments: str) -> Told:
    return read_arguments(arguments, shapes=SHAPES, name="uss-ray separate")


def test_levels_after_one_flag_are_a_list():
    told = read("a.wav", "--levels", "1", "2", "3", "-o", "out")
    assert told == Told({"--levels": ["1", "2", "3"], "-o": ["out"]}, {}, ["a.wav"])


@pytest.mark.parametrize(
    ("arguments", "values", "recording"),
    [
        (["--levels", "1", "a b.wav"], {"--levels": ["1"]}, "a b.wav"),
        (["--classes", "Dog", "a.m4a"], {"--classes": ["Dog"]}, "a.m4a"),
        (["--classes", "Speech", "Dog", "s3://bucket/x"], {"--classes": ["Speech", "Dog"]}, "s3://bucket/x"),
        (["--classes", "/m/0jbk", "日の出.FLAC"], {"--classes": ["/m/0jbk"]}, "日の出.FLAC"),
        (["--text", "a dog", "archive"], {"--text": ["a dog"]}, "archive"),
    ],
)
def test_a_recording_after_a_list_is_not_eaten(arguments, values, recording):
    assert read(*arguments) == Told(values, {}, [recording])


def test_repeated_flags_and_equals_signs_add_up():
    told = read(
        "--levels", "1", "--levels", "2", "--levels=3,4", "--classes=Speech", "--text", "a", "--text", "b"
    )
    assert told.values == {"--levels": ["1", "2", "3,4"], "--classes": ["Speech"], "--text": ["a", "b"]}


def test_of_a_flag_with_one_value_the_last_counts():
    assert read("--output", "a", "--output=b").values == {"--output": ["b"]}


def test_a_flag_may_have_another_name():
    told = read_arguments(
        ["--class", "Dog", "--class=Cat"], shapes=SHAPES, aliases={"--class": "--classes"}, name="uss-ray"
    )
    assert told.values == {"--classes": ["Dog", "Cat"]}


def test_everything_after_two_dashes_is_a_place():
    told = read("--levels", "1", "2", "--", "--levels", "3", "4")
    assert told == Told({"--levels": ["1", "2"]}, {}, ["--levels", "3", "4"])


def test_a_label_with_a_comma_is_one_class():
    assert read("--classes", "Child speech, kid speaking", "5").values["--classes"] == [
        "Child speech, kid speaking", "5"]  # fmt: skip


def test_a_switch_can_be_turned_on_and_off():
    assert read("--report").switches == {"--report": True}
    assert read("--report", "--no-report").switches == {"--report": False}


@pytest.mark.parametrize("level", ["-60", "-.5", "-inf"])
def test_a_negative_number_is_a_value(level):
    assert read("--silence", level).values == {"--silence": [level]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--levels", "two"], "--levels: expected whole numbers from 1 up, found 'two'"),
        (["--levels"], "--levels: expected whole numbers from 1 up, found none"),
        (["--output", "--report"], "--output: expected a value, found '--report'"),
        (["--report=yes"], "--report: expected no value, found 'yes'"),
        (["--outputt", "x"], "--outputt: expected a known option, such as --output, found an unknown one"),
        (["--colour"], "--colour: expected a known option, as in uss-ray separate --help"),
        (["--no-output", "x"], "--no-output: expected a known option"),
    ],
)
def test_what_cannot_be_understood_is_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        read(*arguments)
