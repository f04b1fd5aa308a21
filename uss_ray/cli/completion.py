"""`uss-ray completion`: what makes a shell complete commands, flags and choices."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, Literal

from pydantic import Field

from uss_ray.cli.command import Command
from uss_ray.config import Settings


class WriteCompletion(Settings):
    """Print a script that completes commands, flags and choices: `source <(uss-ray completion bash)`."""

    shell: Literal["bash", "zsh", "fish"] = Field(description="bash, zsh or fish.")


COMMAND: Final = Command(name="completion", model=WriteCompletion, positionals={"shell": "SHELL"})


def run(arguments: Sequence[str]) -> int:
    """Print the script."""
    asked, _ = COMMAND.read(arguments)

    from importlib import import_module

    from uss_ray.cli.help import completion_script
    from uss_ray.cli.main import COMMANDS

    flags = {
        name: getattr(import_module(f"uss_ray.cli.{entry.module}"), entry.command).shown_flags()
        for name, entry in COMMANDS.items()
    }
    sys.stdout.write(completion_script(flags, shell=asked.shell))
    return 0
