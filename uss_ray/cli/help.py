"""What tyro makes of the flags of commands: the help of one, and the completion of all for a shell."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union

import tyro

from uss_ray.cli.arguments import Shape
from uss_ray.cli.flags import Flag

Shell = Literal["bash", "zsh", "fish"]


def print_help(flags: Sequence[Flag], *, prog: str, doc: str) -> None:
    """Print the help of a command, whose docstring is `doc`, and end."""
    tyro.cli(_options(flags), args=["--help"], prog=prog, description=_description(doc))


def completion_script(commands: Mapping[str, Sequence[Flag]], *, shell: Shell) -> str:
    """Write a script that lets a shell complete commands, flags and choices."""
    groups: dict[str, dict[str, Any]] = {}
    for name, flags in commands.items():
        first, _, second = name.partition(" ")
        groups.setdefault(first, {})[second] = _options(flags)
    tree = {
        name: members[""] if "" in members else _choice(members, name="Group")
        for name, members in groups.items()
    }
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        tyro.cli(_choice(tree, name="Commands"), args=["--tyro-print-completion", shell], prog="uss-ray")
    return written.getvalue()


def _choice(members: Mapping[str, Any], *, name: str) -> type[Any]:
    """Make a data class whose only field is one of several others, each a subcommand."""
    if len(members) == 1:  # a choice of one would not be offered
        members = {**members, "--help": dataclasses.make_dataclass("Help", [])}
    kinds: Any = tuple(Annotated[kind, tyro.conf.subcommand(name=member)] for member, kind in members.items())
    one_of: Any = Union.__getitem__(kinds)
    return dataclasses.make_dataclass(name, [("command", Annotated[one_of, tyro.conf.arg(name="")])])


def _options(flags: Sequence[Flag]) -> type[Any]:
    """Make a data class that tyro reads as the flags of a command."""
    fields = [
        (f"field_{number}", _annotation(flag), dataclasses.field(default=_default(flag)))
        for number, flag in enumerate(flags)
    ]
    return dataclasses.make_dataclass("Options", fields)


def _annotation(flag: Flag) -> Any:
    if not flag.options:
        shown = tyro.conf.arg(metavar=flag.metavar, help=flag.help, help_behavior_hint="")
        return Annotated[_kind(flag), tyro.conf.Positional, shown]
    argument = tyro.conf.arg(
        name=flag.options[0].removeprefix("--"),
        aliases=flag.options[1:] or None,
        metavar=flag.metavar or None if flag.shape is not Shape.SWITCH else None,
        help=flag.help,
        help_behavior_hint=_hint(flag),
    )
    if flag.shape is Shape.SWITCH:
        return (
            Annotated[bool, argument]
            if flag.path
            else Annotated[bool, tyro.conf.FlagCreatePairsOff, argument]
        )
    return Annotated[_kind(flag), argument]


def _kind(flag: Flag) -> Any:
    """Give the type of a value; a plain one is enough, for nothing is parsed, and takes tyro the least time."""
    return Literal.__getitem__(flag.choices) if flag.choices else str


def _default(flag: Flag) -> Any:
    if flag.shape is Shape.SWITCH:
        return bool(flag.default)
    if not flag.choices:
        return ""
    default = flag.default[0] if isinstance(flag.default, tuple) and flag.default else flag.default
    return default or flag.choices[0]


def _hint(flag: Flag) -> str:
    default = flag.default
    if flag.is_required:
        return "(required)"
    if default is None or default == () or default is False:
        return ""
    if default is True:
        return "(default: yes)"
    return f"(default: {' '.join(map(str, default)) if isinstance(default, tuple) else default})"


def _description(doc: str) -> str:
    """Take the first paragraphs of a docstring, without what numpydoc puts after them."""
    kept: list[str] = []
    for paragraph in doc.strip().split("\n\n"):
        if "---" in paragraph:
            break
        kept.append(" ".join(paragraph.split()))
    return "\n\n".join(kept)
