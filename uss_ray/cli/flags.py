"""From a settings model to flags: named, typed and explained by its fields."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from uss_ray.cli.arguments import Shape
from uss_ray.config import Settings
from uss_ray.errors import ConfigError

_OFF = ("none", "off", "-inf")


@dataclass(frozen=True)
class Leaf:
    """A field that is no model itself: a single setting.

    Parameters
    ----------
    path : tuple of str
        Where it stands in the model.
    field : FieldInfo
    is_optional : bool, default=False
        Whether it stands in a part that may be left out.
    """

    path: tuple[str, ...]
    field: FieldInfo
    is_optional: bool = False

    @property
    def dotted(self) -> str:
        """The path as it is written."""
        return ".".join(self.path)

    @property
    def kind(self) -> Any:
        """The type, without what allows None."""
        return type_without_none(self.field.annotation)

    @property
    def is_several(self) -> bool:
        """Whether it holds any number of values."""
        return get_origin(self.kind) is tuple and get_args(self.kind)[-1] is Ellipsis

    @property
    def item(self) -> Any:
        """The type of a single value."""
        kind = _plain(get_args(self.kind)[0]) if self.is_several else self.kind
        return kind | None if NoneType in get_args(self.field.annotation) and kind in (int, float) else kind

    @property
    def metavar(self) -> str:
        """What stands for a value in the help."""
        if choices := choices_of(self.field):
            return "{" + ",".join(choices) + "}"
        if get_origin(self.kind) is tuple and not self.is_several:
            return "I/N"
        return {int: "INT", float: "FLOAT"}.get(type_without_none(self.item), "TEXT")

    @property
    def default(self) -> Any:
        """What it holds if nothing is said; None if there is nothing to tell."""
        value = self.field.get_default(call_default_factory=True)
        return None if value is PydanticUndefined else value


@dataclass(frozen=True)
class Flag:
    """What a command line can say of a setting.

    Parameters
    ----------
    options : tuple of str
        Such as ``("--output", "-o")``; none for a positional.
    path : tuple of str
        Of the setting; empty for what is none.
    shape : Shape
    kind : type
        Of its value, or of each.
    help, metavar : str
    default : object
        None: nothing to tell.
    is_required : bool
    choices : tuple of str
        What a shell offers; empty for any text.
    """

    options: tuple[str, ...]
    path: tuple[str, ...]
    shape: Shape
    kind: Any
    help: str
    metavar: str
    default: Any = None
    is_required: bool = False
    choices: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        leaf: Leaf,
        option: str,
        *,
        short: str | None = None,
        is_list: bool = False,
        texts: Shape = Shape.NAMES,
    ) -> Flag:
        """Make the flag of a setting; `is_list`: it takes several values after it, `texts`: where these end."""
        shape = Shape.SWITCH if leaf.kind is bool else Shape.ONE
        if leaf.is_several:
            in_list = Shape.NUMBERS if leaf.item is int else texts
            shape = in_list if is_list else Shape.REPEATED
        return cls(
            options=(f"--{option}",) if short is None else (f"--{option}", short),
            path=leaf.path,
            shape=shape,
            kind=leaf.item,
            help=leaf.field.description or "",
            metavar=leaf.metavar,
            default=leaf.default,
            is_required=leaf.field.is_required() and not leaf.is_optional,
            choices=choices_of(leaf.field),
        )

    @property
    def name(self) -> str:
        """The long option as a name."""
        return self.options[0].removeprefix("--").replace("-", "_")

    def value(self, words: Sequence[Any]) -> Any:
        """Turn what was typed into what the field is checked with; what does not fit, the model refuses."""
        if self.shape is Shape.NUMBERS:
            return tuple(_number(part) for word in words for part in word.split(",") if part)
        if self.shape in (Shape.NAMES, Shape.PLACES, Shape.REPEATED):
            return tuple(words)
        (word,) = words
        if not self.path and self.choices and word not in self.choices:
            raise ConfigError(self.options[0], expected=" or ".join(self.choices), found=repr(word))
        if NoneType in get_args(self.kind) and word.casefold() in _OFF:
            return None
        return _number(word) if type_without_none(self.kind) in (int, float) else word


def leaves_of(
    model: type[Settings], above: tuple[str, ...] = (), *, is_optional: bool = False
) -> Iterator[Leaf]:
    """Go through all settings of a model and of the models in it."""
    for name, info in model.model_fields.items():
        leaf = Leaf((*above, name), info, is_optional)
        if isinstance(leaf.kind, type) and issubclass(leaf.kind, Settings):
            may_be_left_out = is_optional or NoneType in get_args(info.annotation)
            yield from leaves_of(leaf.kind, leaf.path, is_optional=may_be_left_out)
        else:
            yield leaf


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """Tell what a setting may hold, or examples of it where it may hold more; empty for any text."""
    kind = type_without_none(field.annotation)
    if get_origin(kind) is Literal:
        return get_args(kind)
    inner = (extra for part in get_args(field.annotation) for extra in getattr(part, "__metadata__", ()))
    told = (field, *(extra for extra in inner if isinstance(extra, FieldInfo)))
    return next((tuple(info.examples) for info in told if info.examples), ())


def type_without_none(annotation: Any) -> Any:
    """Give a type without what allows None, and without its annotations; a choice of types stays one."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        return _plain(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _number(word: str) -> Any:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(word)
    return word
