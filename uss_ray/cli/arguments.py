"""Options that take several values after one flag: `--levels 1 2 3`, `--classes Speech /m/0jbk`.

The option parser knows repeated flags only, so the arguments are spelled out for it before it sees them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from uss_ray.errors import ConfigError
from uss_ray.sources.names import looks_like_recording

_LEVELS = re.compile(r"\d+(,\d+)*,?")


def spread_lists(arguments: Sequence[str]) -> list[str]:
    """Repeat a list-valued flag before each of its values.

    A list ends at the next option, and before what cannot be meant as a value: for levels anything but numbers, for
    names a recording's file name or URI. So the recording may stand before or after the options.

    Parameters
    ----------
    arguments : sequence of str
        As the shell gives them, without the program's name.

    Returns
    -------
    list of str
        The same, with each value after a flag of its own.

    Examples
    --------
    >>> spread_lists(["separate", "--levels", "1", "2", "dawn.wav", "-o", "out"])
    ['separate', '--levels', '1', '--levels', '2', 'dawn.wav', '-o', 'out']
    """
    spread: list[str] = []
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        if flag == "--":
            return [*spread, flag, *rest]
        is_value = _LISTS.get(flag)
        if is_value is None:
            spread.append(flag)
            continue
        values = 0
        while rest and is_value(rest[0]):
            spread += [flag, rest.pop(0)]
            values += 1
        if not values:
            spread.append(flag)
    return spread


def parse_levels(texts: Iterable[str]) -> tuple[int, ...]:
    """Read ontology levels, each text a number or several with commas.

    Raises
    ------
    ConfigError
        If a text is something else, or a level is below 1.

    Examples
    --------
    >>> parse_levels(["1,2", "3", "2"])
    (1, 2, 3)
    """
    levels: list[int] = []
    for text in texts:
        if not _LEVELS.fullmatch(text):
            raise ConfigError("--levels", expected="whole numbers from 1 up", found=repr(text))
        levels += [int(part) for part in text.split(",") if part]
    if 0 in levels:
        raise ConfigError("--levels", expected="whole numbers from 1 up", found="0")
    return tuple(dict.fromkeys(levels))


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Read `I/N`, the I-th of N parts.

    Raises
    ------
    ConfigError
        If it is something else, or there is no such part.

    Examples
    --------
    >>> parse_shard("1/8")
    (1, 8)
    """
    if text is None:
        return None
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ConfigError("--shard", expected="I/N, such as 1/8", found=repr(text))
    return int(part), int(parts)


def _is_level(argument: str) -> bool:
    return _LEVELS.fullmatch(argument) is not None


def _is_name(argument: str) -> bool:
    return not argument.startswith("-") and not looks_like_recording(argument)


_LISTS: dict[str, Callable[[str], bool]] = {
    "--levels": _is_level,
    "--classes": _is_name,
    "--exclude": _is_name,
}
