"""How results look in a terminal: tables and progress; whatever is named there, no secrets and no escapes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

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
from uss_ray.wording import plain, plain_lines

if TYPE_CHECKING:
    from uss_ray.ontology.vocabulary import TextMatch

_OTHERS_SHOWN = 3
_PLAIN_WIDTH = 1 << 16  # a row of a table is a line for whoever reads it from a pipe or a file


class Advance(Protocol):
    """What a job calls as it goes on: how much is done, and how much there is if that is known."""

    def __call__(self, done: float, total: float | None, /) -> None: ...  # noqa: D102


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str, right: Sequence[str] = ()
) -> None:
    """Print a table; `right` names the columns of numbers."""
    table = Table(title=escape(plain(title)), title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(plain(cell)) for cell in row))
    _console().print(table)


def say(text: str) -> None:
    """Print a line of text, however long."""
    _console().print(escape(plain_lines(text)), soft_wrap=True)


def show_matches(matches: Sequence[tuple[str, TextMatch]]) -> None:
    """Say on stderr what each free text was taken for, and what else it might have been."""
    for text, match in matches:
        others = ", ".join(candidate.node.label for candidate in match.runners_up[:_OTHERS_SHOWN])
        rest = f"; next best: {others}" if others else ""
        said = (
            f"'{text}' is taken as {match.node.label} ({match.node.node_id}), score {match.score:.2f}{rest}"
        )
        sys.stderr.write(f"{plain_lines(said)}\n")


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
        task = progress.add_task(escape(plain(title)), total=None)

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
        task = progress.add_task(escape(plain(title)), total=None)

        def advance(done: float, total: float | None, /) -> None:
            check_stopped()
            progress.update(task, completed=done, total=total)

        yield advance


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
