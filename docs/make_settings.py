"""Write docs/settings.md from the models: `python docs/make_settings.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from uss_ray.cli import ablate, anchors, archive, evaluate_run, mine, separate, serve, train
from uss_ray.cli.command import Command
from uss_ray.cli.flags import choices_of, type_without_none
from uss_ray.config import Settings

PAGE = Path(__file__).with_name("settings.md")
COMMANDS: tuple[Command[Any], ...] = (
    separate.COMMAND,
    archive.COMMAND,
    mine.COMMAND,
    anchors.PACK,
    train.SEPARATOR,
    train.TAGGER,
    ablate.COMMAND,
    evaluate_run.RUN,
    serve.COMMAND,
)
BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}
HEAD = """\
# Settings

Made from the models by `python docs/make_settings.py`; do not edit. The paths tell where a setting stands in a file of
settings: `request.settings.threshold` is

```yaml
request:
  settings:
    threshold: 0.3
```

`uss-ray archive config.yaml` reads such a file (`uss-ray separate`, `uss-ray mine` too); flags override it; in it,
`base: other.yaml` names a file whose keys it overrides; what either asks for (`request.query`) takes the place of all
that was asked for below it; `--print-config` writes all keys. In Python the models are made by name:
`SeparationSettings(threshold=0.3)`. A dash for the default: there is none, or the setting is left open.
"""


def page() -> str:
    """Give the whole page."""
    flags: dict[tuple[type[Settings], str], dict[str, None]] = {}
    for command in COMMANDS:
        for flag in command.flags():
            if flag.path:
                shown = flags.setdefault((owner(command.model, flag.path), flag.path[-1]), {})
                shown.update(dict.fromkeys(flag.options or (flag.metavar,)))
    lines = [HEAD]
    for model, paths in placed().items():
        lines += [f"## {model.__name__}", "", *summary(model), ""]
        lines += ["In " + ", ".join(f"`{path}`" for path in paths) + ".", ""] if any(paths) else []
        lines += ["| setting | flag | values | default | what |", "|---|---|---|---|---|"]
        for name, field in model.model_fields.items():
            if not is_model(kind(field)):
                lines.append(row(name, field, tuple(flags.get((model, name), ()))))
        lines.append("")
    return "\n".join(lines)


def placed() -> dict[type[Settings], list[str]]:
    """Find all models that hold settings of their own, and where in the files they stand."""
    found: dict[type[Settings], list[str]] = {}
    for command in COMMANDS:
        for model, path in walk(command.model):
            place = f"{path} ({command.name})" if path else ""
            found.setdefault(model, []).append(place)
    return {
        model: paths
        for model, paths in found.items()
        if any(not is_model(kind(field)) for field in model.model_fields.values())
    }


def walk(model: type[Settings], path: str = "") -> Iterator[tuple[type[Settings], str]]:
    """Go through a model and those in it."""
    yield model, path
    for name, field in model.model_fields.items():
        if is_model(kind(field)):
            yield from walk(kind(field), f"{path}.{name}".lstrip("."))


def owner(model: type[Settings], path: tuple[str, ...]) -> type[Settings]:
    """Find the model that a setting belongs to."""
    for step in path[:-1]:
        model = kind(model.model_fields[step])
    return model


def row(name: str, field: FieldInfo, options: tuple[str, ...]) -> str:
    """Give a line of a table."""
    default = field.get_default(call_default_factory=True)
    shown = "–" if field.is_required() or default is None or default == () else f"`{plain(default)}`"
    flag = " ".join(f"`{option}`" for option in options)
    what = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{name}` | {flag} | {values(field)} | {shown} | {what} |"


def values(field: FieldInfo) -> str:
    """Say what a setting may hold."""
    held = kind(field)
    if choices := choices_of(field):
        return ", ".join(f"`{choice}`" for choice in choices)
    text = {bool: "yes or no", int: "whole number", float: "number"}.get(held, "text")
    if get_origin(held) is tuple:
        item = type_without_none(get_args(held)[0])
        item = get_args(item)[0] if get_args(item) else item
        text = "whole numbers" if item is int else "texts"
    bounds = [
        BOUNDS[name].format(f"{getattr(item, name):g}")
        for item in constraints(field)
        for name in BOUNDS
        if hasattr(item, name)
    ]
    return " ".join([text, *bounds])


def constraints(field: FieldInfo) -> Iterator[Any]:
    """Give what bounds a field, or what it holds where it may be left open."""
    yield from field.metadata
    for held in get_args(field.annotation):
        for told in getattr(held, "__metadata__", ()):
            yield from told.metadata if isinstance(told, FieldInfo) else (told,)


def kind(field: FieldInfo) -> Any:
    """Give the type of a field without None."""
    return type_without_none(field.annotation)


def is_model(held: Any) -> bool:
    """Tell whether a field holds a model."""
    return isinstance(held, type) and issubclass(held, Settings)


def plain(default: Any) -> str:
    """Write a default as YAML would."""
    return str(default).lower() if isinstance(default, bool) else str(default)


def summary(model: type[Settings]) -> list[str]:
    """Take the first line of a docstring."""
    return [(model.__doc__ or "").strip().splitlines()[0]]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
