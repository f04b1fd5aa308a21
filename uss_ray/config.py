"""Settings: written once as a model, read from Python, YAML, command line and HTTP, and told as canonical JSON.

Owns the rules that all settings share: frozen, no unknown keys, errors that name the setting, overlays with `base:`.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, Self, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from uss_ray.errors import ConfigError, DataError, UssRayError
from uss_ray.parsing import read_object

if TYPE_CHECKING:
    from yaml import Node

_BASE = "base"
_ARCHITECTURE = "architecture"
_OF_THE_DATA = ("sample_rate", "classes", "condition_size")
"""What a network takes of its data, whatever its architecture."""

_log = logging.getLogger(__name__)
_EXPECTED = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "values by their names",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number that is not as long",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_attributes_type": "settings by their names",
    "model_type": "settings by their names",
    "string_pattern_mismatch": "a text of the form {pattern}",
    "string_too_short": "a text that is not empty",
    "string_type": "a text",
    "string_unicode": "a text",
    "too_long": "a list of at most {max_length}",
    "too_short": "a list of at least {min_length}",
    "tuple_type": "a list",
    "union_tag_not_found": "settings that name their {discriminator}",
    "union_tag_invalid": "one of {expected_tags} as {discriminator}",
}

_DEEPEST_LIST = 3  # of numbers in settings: pairs in a list, by name
_NO_TRUTH = {float: "a number", int: "a whole number", str: "a text"}
_NO_TRUTH_IN = frozenset((int, float, str, type(None)))
_NAMES = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
_MISSING = ("a value", "none")

Count = Annotated[int, Field(strict=True, ge=1)]
"""A whole number of at least 1; no text is taken for one."""

Model = TypeVar("Model", bound="Settings")


def _as_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


Name = Annotated[str, Field(min_length=1)]
"""Type of a field that holds a text that is not empty: an empty one comes of a variable that is not set."""

_PLACE: Final = "a place"  # marks what `absolute` makes absolute

Location = Annotated[str, Field(min_length=1), BeforeValidator(_as_text), _PLACE]
"""Type of a field that holds a local path (also as a `Path`), a URI or a name; not an empty one."""


def absolute(settings: Model, *, outputs: Collection[str] = ("output",)) -> Model:
    """Give settings whose local places are named so that they mean the same wherever a process works.

    Names and URIs stay, and so does what is not there: it may be a name, and is refused as it was given.

    Parameters
    ----------
    settings : Settings
    outputs : collection of str, default=("output",)
        Fields of places that need not be there yet.
    """

    def of(value: Any, name: str) -> Any:
        if isinstance(value, tuple):
            return tuple(of(each, name) for each in value)
        if not isinstance(value, str) or "://" in value:
            return value
        return os.path.abspath(value) if name in outputs or os.path.exists(value) else value

    changed: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Settings):
            changed[name] = absolute(value, outputs=outputs)
        elif _holds(_PLACE, field.annotation) or _PLACE in field.metadata:
            changed[name] = of(value, name)
    return settings.replace(**changed)


def _holds(mark: str, annotation: Any) -> bool:
    return mark in getattr(annotation, "__metadata__", ()) or any(
        _holds(mark, part) for part in get_args(annotation)
    )


def _checked_device(name: str) -> str:
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", name) is None:
        raise ConfigError(
            "device", expected="auto, cpu, cuda or one GPU of several, such as cuda:1", found=repr(name)
        )
    return name


Device = Annotated[
    str,
    AfterValidator(_checked_device),
    Field(
        examples=["auto", "cpu", "cuda", "cuda:1"],
        description="Where the networks run: auto takes a GPU where there is one.",
    ),
]
"""Type of a field that says where networks run; auto takes a GPU where there is one."""


class Settings(BaseModel):
    """Base of all settings: immutable, compared by value, checked where it is made.

    A field says by its type and its `Field` what it may hold; checks between fields are validators that raise
    `ConfigError`. Infinite numbers are refused, for JSON has none: let None mean that a limit is off. So are truth
    values where numbers or texts are: Python takes them for 0 and 1, and YAML takes `no` and `off` for them.

    Raises
    ------
    ConfigError
        If a value is not what its field may hold, or a key is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _config_error(type(self), error) from error

    @model_validator(mode="before")
    @classmethod
    def _refuse_truth_values(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, Mapping) else ():
            field = cls.model_fields.get(name)
            if field is None or type(value) in _NO_TRUTH_IN:
                continue
            kinds = tuple(_plain_types(field.annotation))
            expected = " or ".join(told for kind, told in _NO_TRUTH.items() if kind in kinds)
            if not expected or bool in kinds or Any in kinds:
                continue
            if (truth := next(_truth_values(value, name), None)) is not None:
                place, found = truth
                word, said = ("true", "yes, on and true") if found else ("false", "no, off and false")
                raise ConfigError(
                    f"{_spoken(cls.__name__)} {place}",
                    expected=expected + (" or null" if type(None) in kinds and place == name else ""),
                    found=f"{word} (YAML reads {said} so)",
                )
        return values

    def replace(self, **changes: Any) -> Self:
        """Copy with some fields changed; the copy is checked as a new one is, and what was left open stays so."""
        values = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**{**values, **changes})

    @classmethod
    def kept_below(cls, below: Mapping[str, Any], above: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG003
        """Give what stays of values of this kind that others are laid over: all that these do not say."""
        return below

    def canonical_json(self) -> str:
        """Give the settings as strict JSON, the same text for equal settings."""
        return canonical_json(self.model_dump(mode="json"))


def _plain_types(annotation: Any) -> Iterator[Any]:
    """Give the types in an annotation that are made of no others; of a mapping those of its values."""
    parts = get_args(annotation)
    if not parts:
        yield annotation
    origin = get_origin(annotation)
    for part in parts[1:] if isinstance(origin, type) and issubclass(origin, Mapping) else parts:
        yield from _plain_types(part)


def _truth_values(value: Any, place: str, *, depth: int = _DEEPEST_LIST) -> Iterator[tuple[str, Any]]:
    """Find truth values, of numpy too, in a value and in what it holds, and where; YAML may go round in circles."""
    is_numpys = str(getattr(value, "dtype", None)) == "bool" and getattr(value, "ndim", None) == 0
    if isinstance(value, bool) or is_numpys:
        yield place, value
        return
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple | Set):
        inner = enumerate(value)
    for step, one in inner if depth else ():
        if type(one) not in _NO_TRUTH_IN:
            yield from _truth_values(one, f"{place}.{step}", depth=depth - 1)


def canonical_json(value: Any) -> str:
    """Write strict JSON in which equal values have equal texts.

    Parameters
    ----------
    value : object
        Of what JSON knows.

    Returns
    -------
    str
        One line, keys sorted.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def flat_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give settings by their dotted names.

    Examples
    --------
    >>> flat_settings({"a": {"b": 1, "c": [2]}, "d": {}})
    {'a.b': 1, 'a.c': [2]}
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": inner for key, inner in flat_settings(value).items()}
        else:
            flat[name] = value
    return flat


def load(
    path: str | os.PathLike[str], model: type[Model], *, changes: Mapping[str, Any] | None = None
) -> Model:
    """Read settings from YAML.

    Parameters
    ----------
    path : path
        A file that holds the keys that differ from the defaults, or from another file named under ``base:``
        (relative to this one).
    model : type of Settings
    changes : mapping, optional
        Laid over the file, nested as the model is.

    Returns
    -------
    Settings

    Raises
    ------
    ConfigError
        If a file cannot be read, is no mapping or goes round in circles, a key is unknown (the nearest is named), or
        a value is not what its field may hold; the file in which it stands is named.
    """
    layers = read_layers(path)
    values = overlay(merged(layers, model), changes or {}, model)
    try:
        return model(**values)
    except ConfigError as error:
        raise in_its_file(error, model, values, layers=layers) from error


def parse_json(
    text: str | bytes, model: type[Model], *, item: str, error: type[UssRayError] = DataError
) -> Model:
    """Read a file of strict JSON that holds one object.

    Parameters
    ----------
    text : str or bytes
    model : type of Settings
        What it must hold.
    item : str
        The file, for messages.
    error : type of UssRayError, default=DataError

    Raises
    ------
    UssRayError
        Of the kind `error`, if it is no JSON (which has no NaN), no object, or not what the model says; the field is
        named.
    """
    values = read_object(text, item=item, error=error, constant=_no_json)
    try:
        return model(**values)
    except ConfigError as fault:
        field = fault.item.removeprefix(_spoken(model.__name__)).strip()
        raise error(f"{item}, {field}", expected=fault.expected, found=fault.found[:200]) from fault


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant}, which is no JSON")


@dataclass(frozen=True)
class Layer:
    """What one file of settings says, without those it is laid over."""

    file: Path
    values: Mapping[str, Any]


def read_layers(path: str | os.PathLike[str]) -> list[Layer]:
    """Read a YAML file and the files that it names as its base.

    Returns
    -------
    list of Layer
        From the last base up to the file itself.

    Raises
    ------
    ConfigError
        If a file cannot be read, is no mapping or goes round in circles.
    """
    chain: list[Path] = []
    layers: list[Layer] = []
    following: Path | None = Path(path)
    while following is not None:
        resolved = following.resolve()
        if resolved in chain:
            raise ConfigError(str(path), expected="files that end in one without a base", found="a circle")
        chain.append(resolved)
        values = _read_mapping(following)
        base = values.pop(_BASE, None)
        if base is not None and (not isinstance(base, str) or not base):
            raise ConfigError(f"{following}: {_BASE}", expected="the name of a file", found=_shown(base))
        layers.append(Layer(following, values))
        following = None if base is None else following.parent / base
    return layers[::-1]


def merged(layers: Sequence[Layer], model: type[Settings] | None = None) -> dict[str, Any]:
    """Lay files over each other, the later ones on top; `model` as of `overlay`."""
    return reduce(lambda below, layer: overlay(below, layer.values, model), layers, {})


def in_its_file(
    error: ConfigError, model: type[Settings], values: Mapping[str, Any], *, layers: Sequence[Layer]
) -> ConfigError:
    """Name the file in which a wrong setting stands, and its whole place there.

    Parameters
    ----------
    error : ConfigError
        That `model` raised.
    model : type of Settings
    values : mapping
        What it was made of.
    layers : sequence of Layer
        The files that the values are of, the upper ones last; others may have been laid over them.

    Returns
    -------
    ConfigError
        The same if no file says anything of it. What is missing is named in the uppermost file that has something of
        the part in which it is missing.
    """
    place = place_of(error, model, values)
    told = [(_depth(layer.values, place), layer.file) for layer in reversed(layers)]
    depth, file = max(told, key=lambda one: one[0], default=(0, None))
    if file is None or depth < _depth(values, place):  # somebody else has said it
        return error
    item, dotted = error.item, ".".join(place)
    if dotted:
        says_it = item.rpartition(" ")[2].rpartition(".")[2] == place[-1]
        item = dotted if says_it else f"{dotted}, {item}"
    return ConfigError(f"{file}: {item}", expected=error.expected, found=error.found)


def check_parts(layers: Sequence[Layer], places: Iterable[Sequence[str]]) -> None:
    """Refuse what stands in a file where a part of the settings must: laid over, it would be gone without a word.

    Parameters
    ----------
    layers : sequence of Layer
    places : iterable of sequence of str
        Of settings that are laid over the files.

    Raises
    ------
    ConfigError
        If a file holds something else than settings, and not null, above one of the places.
    """
    for place in places:
        for layer in layers:
            value: Any = layer.values
            for depth, step in enumerate(place):
                if value is not None and not isinstance(value, Mapping):
                    raise ConfigError(
                        f"{layer.file}: {'.'.join(place[:depth])}",
                        expected=_EXPECTED["model_type"],
                        found=_shown(value),
                    )
                value = (value or {}).get(step)


def is_missing(error: ConfigError) -> bool:
    """Tell whether an error of a model is that a setting without a default is not given."""
    return (error.expected, error.found) == _MISSING


def place_of(error: ConfigError, model: type[Settings], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Find where in the values of a model the setting stands that its error is about.

    An error names the part of the settings that raised it, and not where that part stands: the part is looked for.

    Returns
    -------
    tuple of str
        Empty if the error is about none of the values alone.
    """
    for name, field in model.model_fields.items():
        for step, inner in _mappings_in(values.get(name), (name,)):
            for kind in _models_in(field.annotation):
                try:
                    kind(**inner)
                except ConfigError as found:
                    if str(found) == str(error):
                        return (*step, *place_of(error, kind, inner))
    said = tuple(error.item.rpartition(" ")[2].split("."))
    name = _spoken(model.__name__)
    if error.item.removeprefix(name).strip() == ".".join(said) or said[0] in values:
        return said
    return ()


def _mappings_in(value: Any, step: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Give a mapping with where it stands, or those of a list."""
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            yield step, value
    elif isinstance(value, (list, tuple)):
        for number, one in enumerate(value):
            yield from _mappings_in(one, (*step, str(number)))


def _models_in(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _depth(values: Any, place: Sequence[str]) -> int:
    """Tell how many steps of a place there are in some values."""
    for depth, step in enumerate(place):
        if isinstance(values, list) and step.isdecimal() and int(step) < len(values):
            values = values[int(step)]
        elif isinstance(values, Mapping) and step in values:
            values = values[step]
        else:
            return depth
    return len(place)


def overlay(
    below: Mapping[str, Any], above: Mapping[str, Any], model: type[Settings] | None = None
) -> dict[str, Any]:
    """Lay one nested mapping over another; mappings merge, everything else is replaced.

    Of settings whose `model` is given, what stays of those below is for it to say (`Settings.kept_below`).

    A network of another `architecture` replaces the one below: of that one's settings it takes those that say what
    its data are (sample rate, classes, size of the condition); a warning names the others, which are not its own.

    Examples
    --------
    >>> overlay({"loss": {"kind": "l1", "weight": 1}}, {"loss": {"kind": "snr"}})
    {'loss': {'kind': 'snr', 'weight': 1}}
    """
    merged = dict(below if model is None else model.kept_below(below, above))
    for key, value in above.items():
        known = merged.get(key)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            value = overlay(
                _of_any_network(known, value, name=key) if _differ(known, value) else known,
                value,
                _model_at(model, key),
            )
        merged[key] = value
    return merged


def _model_at(model: type[Settings] | None, name: str) -> type[Settings] | None:
    """Give the model of a part, where there is but one that it can be."""
    field = None if model is None else model.model_fields.get(name)
    kinds = [] if field is None else list(_models_in(field.annotation))
    return kinds[0] if len(kinds) == 1 else None


def _differ(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    names = [mapping[_ARCHITECTURE] for mapping in (below, above) if _ARCHITECTURE in mapping]
    return len(names) == 2 and names[0] != names[1]


def _of_any_network(below: Mapping[str, Any], above: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    kept = {key: value for key, value in below.items() if key in _OF_THE_DATA}
    dropped = sorted(below.keys() - kept.keys() - {_ARCHITECTURE})
    if dropped:
        _log.warning(
            "%s: %s in place of %s, whose %s it does not take over",
            name,
            above[_ARCHITECTURE],
            below[_ARCHITECTURE],
            ", ".join(dropped),
        )
    return kept


def to_yaml(settings: Settings) -> str:
    """Write settings as YAML that `load` reads back to the same."""
    import yaml

    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_mapping(path: Path) -> dict[str, Any]:
    import yaml  # not at the top: who makes settings in Python or reads a help reads no file

    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        twice, no_name = _named_twice(root), _first_no_name(root)
        values = yaml.safe_load(text)
    except OSError as error:
        found = error.strerror or str(error)
        raise ConfigError(str(path), expected="a YAML file of settings", found=found) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        found = " ".join(str(error).split())
        raise ConfigError(str(path), expected="a YAML file of settings", found=found) from error
    if twice is not None:  # YAML lets the last one win, which drops what the others say without a word
        raise ConfigError(f"{path} line {twice[1]}", expected="each setting once", found=f"{twice[0]} again")
    if no_name is not None:  # also a bare yes, no, on or off, which YAML takes for a truth value
        raise ConfigError(
            f"{path} line {no_name[1]}", expected="settings by their names", found=f"{no_name[0]} for a name"
        )
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(str(path), expected="settings by their names", found=type(values).__name__)
    return values


def _named_twice(root: Node | None) -> tuple[str, int] | None:
    """Find a key that its mapping has before, and its line."""
    for keys in _keys(root):
        seen = set[str]()
        for key in keys:
            name = str(key.value)
            if name in seen:
                return name, key.start_mark.line + 1
            seen.add(name)
    return None


def _first_no_name(root: Node | None) -> tuple[str, int] | None:
    """Find a key that is a number, a date or a truth value, and its line."""
    for keys in _keys(root):
        for key in keys:
            if key.tag not in _NAMES:
                return str(key.value), key.start_mark.line + 1
    return None


def _keys(root: Node | None) -> Iterator[list[Node]]:
    """Go through the keys of all mappings."""
    from yaml import CollectionNode, MappingNode

    waiting, met = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if not isinstance(node, CollectionNode) or id(node) in met:  # an alias may lead to what holds it
            continue
        met.add(id(node))
        if isinstance(node, MappingNode):
            yield [key for key, _ in node.value]
            waiting += [value for _, value in node.value]
        else:
            waiting += node.value


def _config_error(model: type[Settings], error: ValidationError) -> ConfigError:
    errors = error.errors(include_url=False)
    # A key that is written wrongly explains why the right one is missing.
    first = next((found for found in errors if found["type"] == "extra_forbidden"), errors[0])
    place = [str(step) for step in first["loc"]]
    item = " ".join([_spoken(model.__name__), ".".join(place)]).strip()
    if first["type"] == "extra_forbidden":
        known = near_or_all(place[-1], _keys_at(model, place[:-1]))
        return ConfigError(item, expected=f"a known setting, {known}", found="an unknown one")
    if first["type"] == "missing":
        return ConfigError(item, expected=_MISSING[0], found=_MISSING[1])
    return ConfigError(item, expected=_expected(first), found=_shown(first["input"]))


def near_or_all(name: str, known: Iterable[str]) -> str:
    """Word what may have been meant by a name that is unknown: one that is near, or all there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"{near[0]!r}?" if near else "one of " + ", ".join(names)


def _shown(value: Any) -> str:
    """Show a value as it stands in a file: texts in quotes, and the rest in the words of YAML and JSON."""
    if value is None or isinstance(value, (bool, list, tuple, dict)):
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError):  # objects, of Python
            return repr(value)
    return repr(value)


def _keys_at(model: type[BaseModel], place: list[str]) -> list[str]:
    for step in place:
        field = model.model_fields.get(step)
        if field is None or not (
            isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        ):
            break
        model = field.annotation
    return [field.alias or name for name, field in model.model_fields.items()]


def _expected(error: ErrorDetails) -> str:
    known = _EXPECTED.get(error["type"])
    if known is not None:
        return known.format(**error.get("ctx", {}))
    for prefix in ("Input should be ", "Value should have "):
        if error["msg"].startswith(prefix):
            return error["msg"].removeprefix(prefix)
    return error["msg"][:1].lower() + error["msg"][1:]


def _spoken(name: str) -> str:
    """Split a class name into words: ``SeparationSettings`` becomes ``separation settings``."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
