"""A flag is named, typed and explained by its field."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from uss_ray.cli.arguments import Shape
from uss_ray.cli.flags import Flag, leaves_of
from uss_ray.config import Device, Settings


class Inner(Settings):
    level_dbfs: float | None = Field(default=-60.0, le=0, description="How loud.")


class Outer(Settings):
    name: str
    kind: Literal["a", "b"] | None = None
    part: tuple[int, int] | None = None
    numbers: tuple[int, ...] = (1, 2)
    names: tuple[str, ...] = ()
    is_on: bool = False
    device: Device = "auto"
    other: Device | None = None
    inner: Inner = Field(default_factory=Inner)


LEAVES = {leaf.dotted: leaf for leaf in leaves_of(Outer)}


def test_settings_of_models_in_models_are_found_with_their_paths():
    assert list(LEAVES) == [
        "name",
        "kind",
        "part",
        "numbers",
        "names",
        "is_on",
        "device",
        "other",
        "inner.level_dbfs",
    ]


@pytest.mark.parametrize(
    ("dotted", "metavar", "shape", "default"),
    [
        ("name", "TEXT", Shape.ONE, None),
        ("kind", "{a,b}", Shape.ONE, None),
        ("part", "I/N", Shape.ONE, None),
        ("numbers", "INT", Shape.NUMBERS, (1, 2)),
        ("names", "TEXT", Shape.NAMES, ()),
        ("is_on", "TEXT", Shape.SWITCH, False),
        ("device", "{auto,cpu,cuda,cuda:1}", Shape.ONE, "auto"),
        ("other", "{auto,cpu,cuda,cuda:1}", Shape.ONE, None),
        ("inner.level_dbfs", "FLOAT", Shape.ONE, -60.0),
    ],
)
def test_what_a_flag_takes_follows_from_the_type(dotted, metavar, shape, default):
    flag = Flag.of(LEAVES[dotted], "x-y", short="-x", is_list=True)
    assert (flag.options, flag.name, flag.metavar) == (("--x-y", "-x"), "x_y", metavar)
    assert (flag.shape, flag.default, flag.is_required) == (shape, default, dotted == "name")


def test_several_values_come_one_by_one_unless_they_are_a_list():
    assert Flag.of(LEAVES["numbers"], "numbers").shape is Shape.REPEATED


@pytest.mark.parametrize(
    ("dotted", "words", "value"),
    [
        ("numbers", ["1,2", "3"], (1, 2, 3)),
        ("numbers", ["x"], ("x",)),
        ("names", ["a,b"], ("a,b",)),
        ("name", ["3"], "3"),
        ("name", ["none"], "none"),
        ("is_on", [True], True),
        ("inner.level_dbfs", ["-50.5"], -50.5),
        ("inner.level_dbfs", ["off"], None),
        ("inner.level_dbfs", ["-inf"], None),
        ("inner.level_dbfs", ["loud"], "loud"),
        ("part", ["1/2"], "1/2"),
    ],
)
def test_words_become_values_and_what_does_not_fit_is_left_to_the_model(dotted, words, value):
    assert Flag.of(LEAVES[dotted], "x", is_list=True).value(words) == value
