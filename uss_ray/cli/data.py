"""`uss-ray data`: what there is of a labelled data set, before any work."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, cast

import typer

from uss_ray.cli import options
from uss_ray.cli.display import progress_bar, say, show_table
from uss_ray.errors import ConfigError

if TYPE_CHECKING:
    from uss_ray.datasets.containers.options import Container
    from uss_ray.datasets.coverage import ClipProblem, Coverage

_SOME_UNUSABLE = 8
_NONE_USABLE = 9
_PROBLEMS_SHOWN = 10
_CLASSES_SHOWN = 12
_SEGMENT_SUFFIXES = (".csv", ".csv.gz")
_COUNTS = ("labelled", "found", "missing", "duplicated", "unreadable", "short")

data_app = typer.Typer(help="Look at labelled data sets.", no_args_is_help=True)


@data_app.callback()
def _data() -> None:
    """Keep `check` a command of its own: a lone command would take the place of `data`."""


@data_app.command("check", no_args_is_help=True)
def check_data(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Segment CSVs (.csv, .csv.gz), and where the audio is: folders, prefixes, .tar, .parquet, .h5.",
            show_default=False,
        ),
    ],
    class_list: options.ClassListFile = None,
    container: Annotated[
        str | None, typer.Option("--container", help="files, tar, parquet or hdf5; default: by the names.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id-column", help="Parquet column with clip ids.")
    ] = None,
    audio_column: Annotated[
        str | None, typer.Option("--audio-column", help="Parquet column with audio.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", help="Read the headers of so many clips only; 0: none.")
    ] = None,
    problems: Annotated[
        str | None,
        typer.Option("--problems", help="CSV file to write with every clip that has a problem, and why."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> int:
    """Count clips by class: labelled, found, missing, unreadable. Exit code 8: some are unusable, 9: all."""
    from uss_ray.datasets.clip_sources import open_clip_source
    from uss_ray.datasets.containers.options import ParquetColumns
    from uss_ray.datasets.coverage import check_coverage
    from uss_ray.datasets.segment_table import SegmentTable
    from uss_ray.ontology.classes import ClassList

    tables = [source for source in sources if source.casefold().endswith(_SEGMENT_SUFFIXES)]
    places = [source for source in sources if source not in tables]
    if not tables or not places:
        raise ConfigError(
            "data check", expected="segment CSVs and where the audio is", found=" ".join(sources)
        )
    classes = ClassList.load(class_list)
    table = SegmentTable.load(
        tables, class_index={class_id: index for index, class_id in enumerate(classes.ids)}
    )
    opened = [
        open_clip_source(
            place,
            container=cast("Container | None", container),
            columns=ParquetColumns(clip_id=id_column, audio=audio_column),
        )
        for place in places
    ]
    first: list[ClipProblem] = []
    with _problem_list(problems) as write, progress_bar("Headers", unit="clips") as advance:

        def note(problem: ClipProblem) -> None:
            write(problem)
            if len(first) < _PROBLEMS_SHOWN:
                first.append(problem)

        coverage = check_coverage(
            table, sources=opened, classes=classes, sample=sample, on_problem=note, progress=advance
        )
    if as_json:
        say(json.dumps(asdict(coverage), indent=2))
    else:
        _show(coverage, first)
    if coverage.is_empty:
        return _NONE_USABLE
    return 0 if coverage.is_complete else _SOME_UNUSABLE


def _show(coverage: Coverage, problems: Sequence[ClipProblem]) -> None:
    rows = sorted(
        (row for row in coverage.classes if row.labelled), key=lambda row: (-row.found, row.class_index)
    )
    columns = ("Class", *(name.capitalize() for name in _COUNTS), "Hours")
    lines = [(row.label, *(str(getattr(row, name)) for name in _COUNTS), f"{row.hours:.2f}") for row in rows]
    total = ("All clips", *(str(getattr(coverage, name)) for name in _COUNTS), f"{coverage.hours:.2f}")
    show_table(columns, [*lines, total], title="Coverage", right=columns[1:])
    headers = (
        f"Headers read: {coverage.probed} of {coverage.found}; unreadable and short are counted among these."
    )
    say(headers)
    for count, what in (
        (coverage.unlabelled, "clips in the audio that no line names"),
        (coverage.repeated, "lines that name a clip again"),
        (coverage.broken_containers, "containers that cannot be read, or not to their end"),
    ):
        if count:
            say(f"{count} {what}.")
    without = [row.label for row in coverage.classes_without_clips]
    if without:
        rest = len(without) - _CLASSES_SHOWN
        more = f"; and {rest} more (--json lists them)" if rest > 0 else ""
        say(f"{len(without)} classes without any clip: {'; '.join(without[:_CLASSES_SHOWN])}{more}.")
    for problem in problems:
        say(f"{problem.problem}: {problem.clip_id} {problem.location} {problem.reason}".replace("  ", " "))
    if len(problems) == _PROBLEMS_SHOWN:
        say("The first of them; --problems FILE lists all.")


@contextmanager
def _problem_list(location: str | None) -> Iterator[Callable[[ClipProblem], None]]:
    """Write problems as they come; the file is there when all are in it."""
    from uss_ray.store.store import Store

    if location is None:
        yield lambda _: None
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "problems.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("problem", "clip_id", "location", "reason"))
            yield lambda problem: writer.writerow(
                (problem.problem, problem.clip_id, problem.location, problem.reason)
            )
        Store(location).put(path)
