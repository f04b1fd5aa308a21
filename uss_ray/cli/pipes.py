"""A recording from standard input, and a stem to standard output: files while they are worked on."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from uss_ray.errors import ConfigError, OutputError

PIPE: Final = "-"
STDIN_NAME: Final = "stdin"


def receive(folder: Path) -> Path:
    """Keep what comes from standard input as a file, for decoders go back and forth in it.

    Raises
    ------
    ConfigError
        If a person would have to type it.
    OutputError
        If there is no room for it.
    """
    if sys.stdin.isatty():
        raise ConfigError("-", expected="a recording from a pipe or a file", found="a terminal")
    path = folder / STDIN_NAME
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise OutputError(str(path), expected="room to keep standard input", found=found) from error
    return path


def check_stdout() -> None:
    """Refuse to fill a terminal with the bytes of a stem.

    Raises
    ------
    ConfigError
        If standard output is a terminal.
    """
    if sys.stdout.isatty():
        raise ConfigError("-o -", expected="a pipe or a file for the sound", found="a terminal")


def send(path: Path) -> None:
    """Write a file to standard output."""
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()
