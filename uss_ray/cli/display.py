"""How results look in a terminal: tables, progress, and the one line of an error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from uss_ray.cli.stopping import check_stopped
from uss_ray.errors import UssRayError

_PLAIN_WIDTH = 1 << 16  # a row of a table is a line for whoever reads it from a pipe or a file


class Advance(Protocol):
    """What a job calls as it goes on: how much is done, and how much there is if that is known."""

    def __call__(self, done: float, total: float | None, /) -> None: ...  # noqa: D102


def show_error(error: UssRayError) -> None:
    """Print an error as one line on stderr."""
    sys.stderr.write(f"error: {error.reason}\n")


def show_usage_error(error: typer.TyperException) -> None:
    """Print what is wrong with a command line as one line on stderr; help that was shown instead needs none."""
    message = " ".join(error.format_message().split())
    if message:
        command = getattr(getattr(error, "ctx", None), "command_path", "uss-ray")
        sys.stderr.write(f"error: {command}: {message} See: {command} --help\n")


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str, right: Sequence[str] = ()
) -> None:
    """Print a table; `right` names the columns of numbers."""
    table = Table(title=escape(title), title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    _console().print(table)


def say(text: str) -> None:
    """Print a line of text as it is, however long."""
    _console().print(escape(text), soft_wrap=True)


@contextmanager
def progress_bar(title: str, *, unit: str) -> Iterator[Advance]:
    """Show a bar on stderr while the block runs, where there is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:.0f}}/{{task.total}} {unit}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(escape(title), total=None)

        def advance(done: float, total: float | None, /) -> None:
            check_stopped()
            progress.update(task, completed=done, total=None if total is None else round(total))

        yield advance


@contextmanager
def download_bar(title: str) -> Iterator[Advance]:
    """Show a bar of bytes on stderr while the block runs, where there is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(escape(title), total=None)

        def advance(done: float, total: float | None, /) -> None:
            check_stopped()
            progress.update(task, completed=done, total=total)

        yield advance


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
