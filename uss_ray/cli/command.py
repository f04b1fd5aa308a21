"""A command: a model of its settings, where its flags have other names, and the way from a command line to settings.

What the command line gives is laid over a profile, and that over a file of settings; the model checks the whole,
whoever said what.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NoReturn, TypeVar

from uss_ray.cli.arguments import SETTINGS_SUFFIXES, Shape, read_arguments
from uss_ray.cli.flags import Flag, Leaf, leaves_of
from uss_ray.config import (
    Layer,
    Settings,
    check_parts,
    in_its_file,
    is_missing,
    merged,
    overlay,
    place_of,
    read_layers,
    to_yaml,
)
from uss_ray.errors import ConfigError

Model = TypeVar("Model", bound=Settings)

STORAGE_NAME: Final = "storage-{}"
_HELP = ("-h", "--help")
_DEFAULT_PROFILE = "default"
_OUTPUT = ("request", "output")


@dataclass(frozen=True, kw_only=True)
class Extra:
    """A flag that is no setting: a switch, or with `metavar` one that takes a value."""

    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()


JSON: Final = Extra(help="JSON in place of tables and text.")
VERSION: Final = Extra(help="Folder of OUTPUT for these results, beside other versions.", metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class Command(Generic[Model]):
    """A command whose options are the fields of a model.

    Parameters
    ----------
    name : str
        With that of its group: ``"weights list"``.
    model : type of Settings
        Its docstring is the command's help.
    positionals : mapping of str to str
        Dotted path of a field to its name in the usage, in order. One that holds several values takes what is over. One
        that has a letter in `short` is an option too: given as such, it is no positional.
    names : mapping of str to (str or None)
        Dotted paths of fields whose flags have other names than the field, or of parts, with ``{}`` for the name of
        the field. None: no flag.
    short : mapping of str to str
        Dotted path to a one-letter flag.
    aliases : mapping of str to str
        Other names of options, such as those that another command has for the same.
    lists : sequence of str
        Dotted paths of fields that take several values after one flag.
    extras : mapping of str to Extra
        Flags that are no settings.
    profiles : mapping of str to callable
        Names for ``--profile``; each gives values that are laid over the file of settings.
    takes_file : bool, default=False
        Whether a YAML file of settings may stand in the place of the positionals, or where a command has none, several
        that are laid over each other; then there is ``--print-config`` too.
    """

    name: str
    model: type[Model]
    positionals: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str | None] = field(default_factory=dict)
    short: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    lists: Sequence[str] = ()
    extras: Mapping[str, Extra] = field(default_factory=dict)
    profiles: Mapping[str, Callable[[], Mapping[str, Any]]] = field(default_factory=dict)
    takes_file: bool = False

    @property
    def prog(self) -> str:
        """As it is typed."""
        return f"uss-ray {self.name}"

    def read(self, arguments: Sequence[str]) -> tuple[Model, Mapping[str, Any]]:
        """Read a command line, without the command's name.

        Returns
        -------
        settings : Settings
            Of the command's model.
        extras : mapping of str to object
            Values of the flags that are no settings, of those that were given.

        Raises
        ------
        ConfigError
            If it cannot be understood, or a value is not what its field may hold.
        SystemExit
            After ``--help`` and ``--print-config``.
        """
        flags = self.flags()
        shapes = {option: flag.shape for flag in flags for option in flag.options}
        told = read_arguments(
            arguments,
            shapes=shapes | dict.fromkeys(_HELP, Shape.SWITCH),
            aliases=self.aliases,
            name=self.prog,
        )
        if not told.switches.keys().isdisjoint(_HELP):
            self.show_help()
        given = {
            flag: flag.value(words) for flag in flags if (words := _words(flag, told.values, told.switches))
        }
        extras = {flag.name: value for flag, value in given.items() if not flag.path}
        places, layers = self._places(told.positionals, elsewhere={flag.path for flag in given})
        check_parts(layers, [flag.path for flag in given])
        below: Mapping[str, Any] = merged(layers, self.model)
        profile = extras.get("profile", _DEFAULT_PROFILE)
        if profile != _DEFAULT_PROFILE:
            below = overlay(below, self.profiles[profile](), self.model)
        whole = overlay(
            below,
            _nested(places | {flag.path: value for flag, value in given.items() if flag.path}),
            self.model,
        )
        output = _at(whole, _OUTPUT)
        if "version" in extras and isinstance(output, str) and output:
            whole = overlay(whole, _nested({_OUTPUT: f"{output.rstrip('/')}/{self._version(extras)}"}))
        try:
            settings = self.model(**whole)
        except ConfigError as error:
            place = place_of(error, self.model, whole)
            said = {flag.path: flag.options[0] for flag in given if flag.path and flag.options}
            said |= {path: self.positionals[".".join(path)] for path in places}
            if is_missing(error) and (option := self._first_missing(flags, whole)) is not None:
                raise ConfigError(f"{self.prog} {option}", expected="a value", found="none") from error
            if (name := _name_of(place, said, item=error.item)) is not None:
                raise ConfigError(
                    f"{self.prog} {name}", expected=error.expected, found=error.found
                ) from error
            raise in_its_file(error, self.model, whole, layers=layers) from error
        if "print_config" in extras:
            sys.stdout.write(to_yaml(settings))
            raise SystemExit(0)
        return settings, extras

    def _version(self, extras: Mapping[str, Any]) -> str:
        """Give the folder of a version, which lies in that of the output."""
        name = str(extras["version"])
        if any(part in ("", ".", "..") for part in name.split("/")):
            expected = "a folder's name, below OUTPUT"
            raise ConfigError(f"{self.prog} --version", expected=expected, found=repr(name))
        return name

    def _first_missing(self, flags: Iterable[Flag], whole: Mapping[str, Any]) -> str | None:
        """Name the first option that must be given and is not."""
        for flag in flags:
            is_option = flag.options and ".".join(flag.path) not in self.positionals
            if is_option and flag.is_required and _at(whole, flag.path) is None:
                return flag.options[0]
        return None

    def knows(self, option: str) -> bool:
        """Tell whether it has an option of that name."""
        return any(option in flag.options for flag in self.flags())

    def show_help(self, *, code: int = 0) -> NoReturn:
        """Print the help and end."""
        from uss_ray.cli.help import print_help

        with contextlib.suppress(SystemExit):
            print_help(self.shown_flags(), prog=self.prog, doc=self.model.__doc__ or "")
        raise SystemExit(code)

    def shown_flags(self) -> list[Flag]:
        """Give what the help shows: the files of settings of a command that has no other positionals, and its flags."""
        shown = "YAML files of settings, laid over each other."
        takes_files = self.takes_file and not self.positionals
        files = [Flag((), (), Shape.ONE, str, shown, "[FILES...]")] if takes_files else []
        return [*files, *self.flags()]

    def flags(self) -> list[Flag]:
        """Tell what can be said: positionals first, then options in the order of the fields, then the rest."""
        leaves = {leaf.dotted: leaf for leaf in leaves_of(self.model)}
        places = [
            Flag((), leaf.path, Shape.ONE, leaf.item, leaf.field.description or "", shown)
            for dotted, shown in self.positionals.items()
            for leaf in (leaves[dotted] if dotted in self.short else leaves.pop(dotted),)
        ]
        texts = Shape.NAMES if self.positionals else Shape.PLACES  # there can be no recording beside them
        named = ((leaf, self._option(leaf)) for leaf in leaves.values())
        settings = [
            Flag.of(
                leaf,
                option,
                short=self.short.get(leaf.dotted),
                is_list=leaf.dotted in self.lists,
                texts=texts,
            )
            for leaf, option in named
            if option is not None
        ]
        return [*places, *settings, *(_extra_flag(name, extra) for name, extra in self._all_extras().items())]

    def _places(
        self, found: Sequence[str], *, elsewhere: Collection[tuple[str, ...]]
    ) -> tuple[dict[tuple[str, ...], Any], list[Layer]]:
        """Share positionals out to their fields, or read the files of settings that stand in their place."""
        are_files = all(place.casefold().endswith(SETTINGS_SUFFIXES) for place in found)
        if self.takes_file and are_files and found and (len(found) == 1 or not self.positionals):
            return {}, [layer for file in found for layer in read_layers(file)]
        leaves = {leaf.dotted: leaf for leaf in leaves_of(self.model)}
        fields = [leaf for dotted in self.positionals if (leaf := leaves[dotted]).path not in elsewhere]
        over = len(found) - len(fields)
        if over < 0 or (over > 0 and not any(leaf.is_several for leaf in fields)):
            alone = "options and YAML files of settings" if self.takes_file else "options only"
            expected = " ".join(self.positionals.values()) or alone
            raise ConfigError(
                self.prog, expected=expected, found=" ".join(word or "''" for word in found) or "none"
            )
        rest = list(found)
        places: dict[tuple[str, ...], Any] = {}
        for leaf in fields:
            count = 1 + over if leaf.is_several else 1
            places[leaf.path] = tuple(rest[:count]) if leaf.is_several else rest[0]
            del rest[:count]
        return places, []

    def _option(self, leaf: Leaf) -> str | None:
        plain = leaf.path[-1].removesuffix("_seconds") if self._part(leaf) else leaf.path[-1]
        name = self.names.get(leaf.dotted, self._part(leaf) or "{}")
        return None if name is None else name.format(plain.replace("_", "-"))

    def _part(self, leaf: Leaf) -> str | None:
        return self.names.get(".".join(leaf.path[:-1]))

    def _all_extras(self) -> dict[str, Extra]:
        every = dict(self.extras)
        if self.profiles:
            every["profile"] = Extra(
                help="Settings to begin with; published: those of the released program or its paper.",
                metavar="NAME",
                choices=(_DEFAULT_PROFILE, *self.profiles),
            )
        if self.takes_file:
            every["print_config"] = Extra(help="Only print the settings, as a file that can be given back.")
        return every


def _extra_flag(name: str, extra: Extra) -> Flag:
    shape = Shape.SWITCH if extra.metavar is None else Shape.ONE
    kind: Any = bool if extra.metavar is None else str
    metavar = "{" + ",".join(extra.choices) + "}" if extra.choices else extra.metavar or ""
    option = f"--{name.replace('_', '-')}"
    return Flag((option,), (), shape, kind, extra.help, metavar, choices=extra.choices)


def _words(
    flag: Flag, values: Mapping[str, list[str]], switches: Mapping[str, bool]
) -> list[str] | list[bool]:
    for option in flag.options:
        if option in switches:
            return [switches[option]]
        if option in values:
            return values[option]
    return []


def _name_of(place: tuple[str, ...], said: Mapping[tuple[str, ...], str], *, item: str) -> str | None:
    """Give what the command line calls the setting that an error is about, if it has given the value."""
    setting = item.rpartition(" ")[2].partition(".")[0]
    for path, name in said.items():
        if place[: len(path)] == path if place else path[-1] == setting:
            return name
    return None


def _nested(told: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for (*above, name), value in told.items():
        place = nested
        for step in above:
            place = place.setdefault(step, {})
        place[name] = value
    return nested


def _at(values: Any, path: tuple[str, ...]) -> Any:
    """Give what lies at a path, or None."""
    for step in path:
        values = values.get(step) if isinstance(values, Mapping) else None
    return values
