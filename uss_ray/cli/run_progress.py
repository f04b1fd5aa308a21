"""How far a job on Ray is, in a terminal or a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from uss_ray.cli.notes import is_quiet

if TYPE_CHECKING:
    from uss_ray.pipelines.runtime.progress import Progress, ProgressHook

_FEW_ITEMS = 5  # fewer say nothing of the time that is left: workers may still be loading
_FEW_SECONDS = 20.0
_LINE_SECONDS = 30.0  # between lines of progress where there is no terminal


@contextmanager
def run_progress(what: str) -> Iterator[ProgressHook]:
    """Show how far a run is: a bar on a terminal, else a line now and then; on stderr.

    Parameters
    ----------
    what : str
        What is counted, such as `recordings`.

    Yields
    ------
    callable
        Takes a `Progress`.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    last = time.monotonic()
    with Bar(*columns, console=console, disable=is_quiet() or not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, told="")

        def show(progress: Progress) -> None:
            nonlocal last
            now = time.monotonic()
            told = progress_line(progress)
            bar.update(task, completed=progress.finished, total=progress.found, told=told)
            if not (console.is_terminal or is_quiet()) and now - last >= _LINE_SECONDS:
                last = now
                sys.stderr.write(f"{told}\n")

        yield show


def progress_line(progress: Progress) -> str:
    """Tell how far a run is: recordings, hours of sound, hours an hour, failures and the time that is left."""
    hours, seconds = progress.audio_seconds / 3600, progress.seconds
    rate = progress.audio_seconds / seconds if seconds > 0 else 0.0
    parts = [
        f"{progress.finished}/{progress.found}",
        f"{hours:.2f} h of sound",
        f"{rate:.1f} h/h",
        f"{progress.failed} failed",
    ]
    if progress.finished >= _FEW_ITEMS and seconds >= _FEW_SECONDS:
        left = seconds / progress.finished * (progress.found - progress.finished)
        parts.append(f"{_duration(left)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
