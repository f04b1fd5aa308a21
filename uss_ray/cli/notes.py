"""What a command writes without a table: notes on stderr, none of them with --quiet, and lines of JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from uss_ray.wording import plain, plain_lines

_quiet = False


def is_quiet() -> bool:
    """Tell whether only results and errors are wanted."""
    return _quiet


@contextmanager
def quiet(asked: bool) -> Iterator[None]:
    """Leave notes and progress out while the block runs, if that is asked for."""
    global _quiet
    before, _quiet = _quiet, asked
    try:
        yield
    finally:
        _quiet = before


def note(text: str) -> None:
    """Say something on stderr."""
    if not _quiet:
        sys.stderr.write(f"{plain_lines(text)}\n")


def tell_failures(failed: int, *, unfinished: int, items: str, where: str) -> None:
    """Say on stderr, with --quiet too, what a job has not done; nothing where it has done all."""
    counts = {"failed": failed, "not done": unfinished}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    if told:
        sys.stderr.write(f"error: {items}: {told}; see {plain_lines(where)}\n")


def note_loading(what: str) -> None:
    """Say at once that something slow begins, to whoever waits at a terminal."""
    if sys.stderr.isatty():
        note(f"Loading {what} ...")
        sys.stderr.flush()


def write_json(record: Any) -> None:
    """Print an object as a line; a terminal gets no letters that it would obey."""
    line = json.dumps(record, ensure_ascii=False, default=str)
    sys.stdout.write((plain(line) if sys.stdout.isatty() else line) + "\n")


def let_go_of_stdout() -> None:
    """Write nothing more to a pipe that is closed; Python would flush once more as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
