"""From a model to flags, and from a command line to settings."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from uss_ray.cli.arguments import Shape
from uss_ray.cli.command import Command, Extra
from uss_ray.config import Location, Settings
from uss_ray.errors import ConfigError


class Part(Settings):
    rate_seconds: float | None = Field(default=1.5, ge=0, description="How long.")
    endpoint: str | None = None


class Work(Settings):
    """Do some work.

    Notes
    -----
    Not for users.
    """

    inputs: tuple[str, ...] = Field(min_length=1)
    target: str
    count: int = Field(default=1, ge=1, description="How often.")
    kind: Literal["fast", "good"] = "good"
    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    is_tidy: bool = True
    part: Part = Field(default_factory=Part)


WORK = Command(
    name="work",
    model=Work,
    positionals={"inputs": "IN...", "target": "OUT"},
    names={"is_tidy": "tidy", "part": "part-{}", "names": None},
    short={"count": "-n"},
    lists=("numbers",),
    extras={"dry_run": Extra(help="Only say it.")},
    profiles={"quick": lambda: {"kind": "fast", "count": 7}},
    takes_file=True,
)


def read(line: str) -> Work:
    return WORK.read(line.split())[0]


def test_flags_have_the_names_types_and_defaults_of_their_fields():
    flags = {flag.options[0]: flag for flag in WORK.flags() if flag.options}
    assert list(flags) == [
        "--count", "--kind", "--numbers", "--tidy", "--part-rate", "--part-endpoint",
        "--dry-run", "--profile", "--print-config"]  # fmt: skip
    assert flags["--count"].options == ("--count", "-n")
    assert (flags["--count"].metavar, flags["--count"].default, flags["--count"].help) == (
        "INT",
        1,
        "How often.",
    )
    assert flags["--kind"].metavar == "{fast,good}"
    assert flags["--numbers"].shape is Shape.NUMBERS
    assert flags["--tidy"].shape is Shape.SWITCH
    assert flags["--part-rate"].default == 1.5


def test_what_is_given_goes_to_its_place_and_the_rest_keeps_its_default():
    work = read("a b out -n 3 --numbers 1,2 3 --no-tidy --part-rate 2 --kind fast")
    assert work == Work(
        inputs=("a", "b"), target="out", count=3, numbers=(1, 2, 3), is_tidy=False, kind="fast",
        part={"rate_seconds": 2},
    )  # fmt: skip


def test_what_may_be_none_is_turned_off_by_a_word():
    assert read("a out --part-rate off").part.rate_seconds is None
    assert read("a out --part-rate none").part.rate_seconds is None
    assert read("a out --part-endpoint none").part.endpoint == "none"


def test_flags_that_are_no_settings_come_apart():
    _, extras = WORK.read(["a", "out", "--dry-run"])
    assert extras == {"dry_run": True}
    assert WORK.read(["a", "out"])[1] == {}


def test_a_profile_is_laid_below_the_flags():
    assert read("a out --profile quick --count 2") == Work(inputs=("a",), target="out", kind="fast", count=2)
    assert read("a out --profile default").kind == "good"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("out", r"uss-ray work: expected IN\.\.\. OUT, found out"),
        ("", r"uss-ray work: expected IN\.\.\. OUT, found none"),
        ("a out --count 0", "uss-ray work --count: expected at least 1, found 0"),
        (
            "a out -n two",
            "uss-ray work --count: expected a whole number, found 'two'",
        ),
        ("a out --kind bad", "uss-ray work --kind: expected 'fast' or 'good', found 'bad'"),
        ("a out --part-rate -1", "uss-ray work --part-rate: expected at least 0, found -1"),
        ("a out --profile loud", "--profile: expected default or quick, found 'loud'"),
        ("a out --names x", "uss-ray work --names: expected a known option, such as --numbers"),
    ],
)
def test_what_is_wrong_names_the_flag(line, message):
    with pytest.raises(ConfigError, match=message):
        read(line)


def test_a_required_setting_without_a_value_names_its_flag():
    command = Command(name="work", model=Work, positionals={"inputs": "IN..."})
    with pytest.raises(ConfigError, match="uss-ray work --target: expected a value, found none"):
        command.read(["a"])


def test_options_only_takes_no_places():
    command = Command(name="part", model=Part)
    with pytest.raises(ConfigError, match="uss-ray part: expected options only, found x"):
        command.read(["x"])


class Nested(Settings):
    """Do nested work."""

    work: Work


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        ("work: {inputs: [a], target: b, count: 0}", "", "{file}: work.count: expected at least 1, found 0"),
        ("work: {inputs: [a], target: b, part: 3}", "", "{file}: work.part: expected"),
        ("work: {inputs: [a], traget: b}", "", "{file}: work.traget: expected a known setting, 'target'?"),
        (
            "work: {inputs: [a], target: b, part: {endpiont: c}}",
            "",
            "{file}: work.part.endpiont: expected a known",
        ),
        ("work: 3", "-o b", "{file}: work: expected settings by their names, found 3"),
        ("work: {inputs: [a], part: 3}", "-o b --part-rate 1", "{file}: work.part: expected settings by"),
        ("work: {inputs: [a], part: null}", "--part-rate 1", "uss-ray nested --target: expected a value"),
        ("work: {inputs: [a]}", "", "uss-ray nested --target: expected a value, found none"),
        ("work: {inputs: [a]}", "-o b --count 0", "uss-ray nested --count: expected at least 1, found 0"),
    ],
)
def test_the_file_the_flag_and_the_whole_place_of_what_is_wrong_are_named(tmp_path, content, flags, message):
    file = tmp_path / "work.yaml"
    file.write_text(content)
    command = Command(
        name="nested",
        model=Nested,
        names={"work": "{}", "work.part": "part-{}"},
        short={"work.target": "-o"},
        takes_file=True,
    )
    with pytest.raises(ConfigError) as caught:
        command.read([str(file), *flags.split()])
    assert str(caught.value).startswith(message.format(file=file))


def test_a_wrong_positional_is_called_as_the_usage_does():
    class Placed(Settings):
        """Do it."""

        place: Location

    command = Command(name="place", model=Placed, positionals={"place": "PLACE"})
    with pytest.raises(
        ConfigError, match=r"^uss-ray place PLACE: expected a text that is not empty, found ''"
    ):
        command.read([""])
    with pytest.raises(ConfigError, match="expected PLACE, found a ''"):
        command.read(["a", ""])
