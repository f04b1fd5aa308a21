"""What stands on a command line: flags with their values, and positionals, in any order."""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from uss_ray.errors import ConfigError
from uss_ray.sources.names import looks_like_recording

_NUMBERS = re.compile(r"\d+(,\d+)*,?")
_NEGATIVE = re.compile(r"-(\d|\.\d|inf)")

SETTINGS_SUFFIXES = (".yaml", ".yml")
"""How names of files of settings end."""


class Shape(enum.Enum):
    """What a flag takes after it, and how that is called."""

    SWITCH = "nothing"
    ONE = "a value"
    REPEATED = "a value each time it comes"
    NUMBERS = "whole numbers from 1 up"
    NAMES = "values up to the next option or recording"
    PLACES = "values up to the next option or file of settings"


@dataclass(frozen=True)
class Told:
    """A command line in parts.

    Parameters
    ----------
    values : dict of str to list of str
        By flag.
    switches : dict of str to bool
        False for one that came as ``--no-…``.
    positionals : list of str
    """

    values: dict[str, list[str]] = field(default_factory=dict)
    switches: dict[str, bool] = field(default_factory=dict)
    positionals: list[str] = field(default_factory=list)


def read_arguments(
    arguments: Sequence[str],
    *,
    shapes: Mapping[str, Shape],
    name: str,
    aliases: Mapping[str, str] | None = None,
) -> Told:
    """Tell flags, their values and positionals apart.

    A list ends at the next flag, and before what cannot be meant as a value: for numbers anything but numbers, for
    names a recording's file name or URI, for places a file of settings. So these may stand before or after the flags.

    Parameters
    ----------
    arguments : sequence of str
        As the shell gives them.
    shapes : mapping of str to Shape
        Of each flag.
    name : str
        Of the command, for errors.
    aliases : mapping of str to str, optional
        Other names of flags.

    Raises
    ------
    ConfigError
        If a flag is unknown (the nearest is named), or has no value.

    Examples
    --------
    >>> told = read_arguments(["--levels", "1", "2", "a.wav"], shapes={"--levels": Shape.NUMBERS}, name="separate")
    >>> told.values, told.positionals
    ({'--levels': ['1', '2']}, ['a.wav'])
    """
    told = Told()
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            told.positionals.extend(rest)
            break
        if not argument.startswith("-") or argument == "-":
            told.positionals.append(argument)
            continue
        written, equals, value = argument.partition("=")
        written = (aliases or {}).get(written, written)
        flag = _known(written, shapes=shapes, name=name)
        shape = shapes[flag]
        if shape is Shape.SWITCH:
            if equals:
                raise ConfigError(f"{name} {flag}", expected="no value", found=repr(value))
            told.switches[flag] = flag == written
            continue
        values = _values([value] if equals else rest, shape=shape, is_certain=bool(equals))
        if not values:
            found = repr(value) if equals else repr(rest[0]) if rest else "none"
            raise ConfigError(f"{name} {flag}", expected=shape.value, found=found)
        told.values[flag] = values if shape is Shape.ONE else [*told.values.get(flag, []), *values]
    return told


def _known(written: str, *, shapes: Mapping[str, Shape], name: str) -> str:
    """Give a flag as it is in `shapes`: `--no-x` is the switch `--x`."""
    if written in shapes:
        return written
    opposite = written.replace("--no-", "--", 1)
    if shapes.get(opposite) is Shape.SWITCH:
        return opposite
    near = difflib.get_close_matches(written, shapes, n=1)
    known = f"such as {near[0]}" if near else f"as in {name} --help"
    raise ConfigError(f"{name} {written}", expected=f"a known option, {known}", found="an unknown one")


def _values(rest: list[str], *, shape: Shape, is_certain: bool) -> list[str]:
    """Take the values of a flag off what follows it; after an equals sign a name is certainly one."""
    values: list[str] = []
    while rest and (_is_value(rest[0], shape=shape) or (is_certain and shape is not Shape.NUMBERS)):
        values.append(rest.pop(0))
        if shape in (Shape.ONE, Shape.REPEATED):
            break
    return values


def _is_value(argument: str, *, shape: Shape) -> bool:
    if shape is Shape.NUMBERS:
        return _NUMBERS.fullmatch(argument) is not None
    is_flag = argument.startswith("-") and argument != "-" and not _NEGATIVE.match(argument)
    is_place = {
        Shape.NAMES: looks_like_recording(argument),
        Shape.PLACES: argument.casefold().endswith(SETTINGS_SUFFIXES),
    }
    return not is_flag and not is_place.get(shape, False)
