"""How results look in a terminal: tables and progress; whatever is named there, no secrets and no escapes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.cells import cell_len, set_cell_size
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
from rich.text import Text

from uss_ray.cli.notes import is_quiet, note
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
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str,
    right: Sequence[str] = (),
    below: Sequence[str] = (),
) -> None:
    """Print a table; tab-separated lines, with the title as a note, for whoever reads it from a pipe or a file.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : sequence of sequence of str
    title : str
    right : sequence of str
        Columns of numbers.
    below : sequence of str
        Columns of long names and paths: where the table is wider than the terminal, each of them stands whole in a line
        of its own below its row, so that it can be copied.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        if title:
            note(title)
        for row in ([*columns], *cells):
            sys.stdout.write("\t".join(row) + "\n")
        return
    console = _console()
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    if sum(width + 3 for width in widths) >= console.width and below:
        _show_narrow(console, columns, cells, title=title, right=right, below=below)
        return
    table = Table(title=escape(plain(title)), title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(escape, row))
    console.print(table)


def _show_narrow(
    console: Console,
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    *,
    title: str,
    right: Sequence[str],
    below: Sequence[str],
) -> None:
    """Print a row as a line of the short cells, and one for each long one that no later one holds."""
    if title:
        console.print(Text(plain(title), style="italic"), soft_wrap=True)
    short = [index for index, column in enumerate(columns) if column not in below]
    long = [columns.index(column) for column in below]
    widths = {index: max(cell_len(row[index]) for row in (columns, *cells)) for index in short}
    for number, row in enumerate((columns, *cells)):
        padded = [
            set_cell_size(row[index], widths[index])
            if columns[index] not in right
            else " " * (widths[index] - cell_len(row[index])) + row[index]
            for index in short
        ]
        console.print(Text("  ".join(padded).rstrip(), style="" if number else "bold"), soft_wrap=True)
        paths = [row[index] for index in long] if number else []
        for place, path in enumerate(paths):
            if path and not any(path in other for other in paths[place + 1 :]):
                console.print(Text(f"  {path}"), soft_wrap=True)


def say(text: str) -> None:
    """Print a line of text, however long."""
    _console().print(escape(plain_lines(text)), soft_wrap=True)


def show_matches(matches: Sequence[tuple[str, TextMatch]]) -> None:
    """Say on stderr what each free text was taken for, and what else it might have been."""
    for text, match in matches:
        others = ", ".join(candidate.node.label for candidate in match.runners_up[:_OTHERS_SHOWN])
        rest = f"; next best: {others}" if others else ""
        taken = f"{match.node.label} ({match.node.node_id}), score {match.score:.2f}"
        note(f"'{text}' is taken as {taken}{rest}")


@contextmanager
def progress_bar(title: str, *, unit: str) -> Iterator[Advance]:
    """Show a bar on stderr while the block runs, where there is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=is_quiet() or not console.is_terminal) as progress:
        task = progress.add_task(escape(plain(title)), total=None, told="")

        def advance(done: float, total: float | None, /) -> None:
            check_stopped()
            whole = None if total is None else round(total)
            told = f"{done:.0f}{'' if whole is None else f'/{whole}'} {unit}"
            progress.update(task, completed=done, total=whole, told=told)

        yield advance


@contextmanager
def download_bar(title: str) -> Iterator[Advance]:
    """Show a bar of bytes on stderr while the block runs, where there is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=is_quiet() or not console.is_terminal) as progress:
        task = progress.add_task(escape(plain(title)), total=None)

        def advance(done: float, total: float | None, /) -> None:
            check_stopped()
            progress.update(task, completed=done, total=total)

        yield advance


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to who runs the command: rich would end the process here, as failed."""
        raise BrokenPipeError


def _console() -> Console:
    return _Output(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
