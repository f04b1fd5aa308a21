"""The reference page of settings is what the models say."""

from __future__ import annotations

from collections import defaultdict
from importlib import import_module
from types import ModuleType

from tests.pages import ROOT, maker
from uss_ray.cli.main import COMMANDS


def the_page() -> ModuleType:
    return maker("make_settings")


def test_the_page_is_current() -> None:
    module = the_page()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == module.page(), (
        "run: python docs/make_settings.py"
    )


def test_what_a_file_may_say_is_on_the_page() -> None:
    every = {
        name: getattr(import_module(f"uss_ray.cli.{entry.module}"), entry.command)
        for name, entry in COMMANDS.items()
    }
    assert {command.name for command in the_page().COMMANDS} >= {
        command.name for command in every.values() if command.takes_file
    }


def test_a_setting_has_one_name_in_all_commands() -> None:
    """But for a place that stands first in one command, and for the part that tells two alike apart."""
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    owner = the_page().owner
    for entry in COMMANDS.values():
        command = getattr(import_module(f"uss_ray.cli.{entry.module}"), entry.command)
        for flag in command.flags():
            if flag.path and flag.options:
                setting = owner(command.model, flag.path).__name__, flag.path[-1]
                names[setting].add(flag.options[0].rpartition(".")[2].removeprefix("--"))
    assert len(names) > 100
    assert {setting: own for setting, own in names.items() if len(own) > 1} == {}
