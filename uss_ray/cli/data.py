"""`uss-ray data`: what there is of a labelled data set, and what is left of it without some classes."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from pydantic import Field

from uss_ray.cli.command import STORAGE_NAME, Command
from uss_ray.config import Location, Settings
from uss_ray.datasets.containers.options import Container, ParquetColumns
from uss_ray.errors import ConfigError, OutputError
from uss_ray.store.options import Storage, StoreOptions

if TYPE_CHECKING:
    from uss_ray.datasets.coverage import ClipProblem, Coverage

_SOME_UNUSABLE = 8
_NONE_USABLE = 9
_PROBLEMS_SHOWN = 10
_CLASSES_SHOWN = 12
_SEGMENT_SUFFIXES = (".csv", ".csv.gz")
_COUNTS = ("labelled", "found", "missing", "duplicated", "unreadable", "short")


class CheckData(Settings):
    """Count clips by class: labelled, found, missing, unreadable. Exit code 8: some are unusable, 9: all."""

    sources: tuple[Location, ...] = Field(
        description="Segment CSVs (.csv, .csv.gz), and where the audio is: folders, prefixes, .tar, .parquet, .h5."
    )
    class_list: Location | None = Field(default=None, description="Classes, in AudioSet's CSV format.")
    container: Container | None = Field(
        default=None, description="How clips are kept; without it the names tell."
    )
    columns: ParquetColumns = Field(default_factory=ParquetColumns, description="Of Parquet files.")
    sample: int | None = Field(
        default=None, ge=0, description="Read the headers of so many clips only; 0: none."
    )
    problems: Location | None = Field(
        default=None, description="CSV file to write with every clip that has a problem, and why."
    )
    json_lines: bool = Field(default=False, description="Print the result as JSON.")


class HoldOut(Settings):
    """Write segment CSVs without the clips of some classes, so that nothing is trained on these."""

    segments: tuple[Location, ...] = Field(min_length=1, description="Segment CSVs in AudioSet's format.")
    classes: Location = Field(
        description="Text file, a class a line, by label or id; what lies below it in the ontology goes with it."
    )
    output: Location = Field(description="Segment CSV to write.")
    ontology: Location | None = Field(default=None, description="Ontology, in AudioSet's JSON format.")
    class_list: Location | None = Field(default=None, description="Classes, in AudioSet's CSV format.")
    storage: Storage = StoreOptions()


CHECK: Final = Command(
    name="data check",
    model=CheckData,
    positionals={"sources": "SEGMENTS_CSV|AUDIO..."},
    names={"columns.clip_id": "id-column", "columns.audio": "audio-column", "json_lines": "json"},
)
HOLD_OUT: Final = Command(
    name="data hold-out",
    model=HoldOut,
    positionals={"segments": "SEGMENTS_CSV..."},
    short={"output": "-o"},
    names={"storage": STORAGE_NAME},
)


def check_data(arguments: Sequence[str]) -> int:
    """Count, show, and give the exit code."""
    asked, _ = CHECK.read(arguments)
    tables = [source for source in asked.sources if source.casefold().endswith(_SEGMENT_SUFFIXES)]
    places = [source for source in asked.sources if source not in tables]
    if not tables or not places:
        raise ConfigError(
            "data check", expected="segment CSVs and where the audio is", found=" ".join(asked.sources)
        )

    if asked.problems is not None:
        _check_apart(asked.problems, tables)

    from uss_ray.cli.display import progress_bar, say
    from uss_ray.datasets.clip_sources import open_clip_source
    from uss_ray.datasets.coverage import check_coverage
    from uss_ray.datasets.segment_table import SegmentTable
    from uss_ray.ontology.classes import ClassList

    classes = ClassList.load(asked.class_list)
    table = SegmentTable.load(
        tables, class_index={class_id: index for index, class_id in enumerate(classes.ids)}
    )
    opened = [open_clip_source(place, container=asked.container, columns=asked.columns) for place in places]
    first: list[ClipProblem] = []
    with _problem_list(asked.problems) as write, progress_bar("Headers", unit="clips") as advance:

        def note(problem: ClipProblem) -> None:
            write(problem)
            if len(first) < _PROBLEMS_SHOWN:
                first.append(problem)

        coverage = check_coverage(
            table, sources=opened, classes=classes, sample=asked.sample, on_problem=note, progress=advance
        )
    if asked.json_lines:
        say(json.dumps(asdict(coverage), indent=2))
    else:
        _show(coverage, first)
    if coverage.is_empty:
        return _NONE_USABLE
    return 0 if coverage.is_complete else _SOME_UNUSABLE


def _show(coverage: Coverage, problems: Sequence[ClipProblem]) -> None:
    from uss_ray.cli.display import say, show_table

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


def _check_apart(output: str, inputs: Sequence[str]) -> None:
    """Refuse to write over what is read."""
    from uss_ray.store.store import Store

    def name(place: str) -> str:
        store = Store(place).absolute()
        return str(store) if store.is_remote else os.path.realpath(store.root)

    if name(output) in {name(place) for place in inputs}:
        raise OutputError(output, expected="another file than those that are read", found="one of them")


def hold_out(arguments: Sequence[str]) -> int:
    """Write, and say what is left."""
    asked, _ = HOLD_OUT.read(arguments)

    from uss_ray.cli.display import say
    from uss_ray.datasets.held_out import read_class_list, without_classes
    from uss_ray.errors import DataError
    from uss_ray.ontology.vocabulary import Vocabulary
    from uss_ray.store.store import Store

    vocabulary = Vocabulary.load(ontology_path=asked.ontology, classes_path=asked.class_list)
    classes = read_class_list(Store(asked.classes, asked.storage, DataError), vocabulary=vocabulary)
    places = [Store(place, asked.storage, DataError) for place in asked.segments]
    _check_apart(asked.output, [*asked.segments, asked.classes])
    left = without_classes(places, classes, vocabulary=vocabulary)
    Store(asked.output, asked.storage).put(left.to_csv(vocabulary))
    say(f"{len(left.kept)} of {len(left.kept) + left.dropped} clips: {asked.output}")
    if left.lost:
        say(f"Without any clip now, besides: {'; '.join(left.lost)}.")
    return 0
