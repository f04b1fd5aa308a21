"""`uss-ray evaluate compare`, `report`: what runs say, beside each other and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from uss_ray.cli.command import STORAGE_NAME, Command
from uss_ray.config import Location, Settings
from uss_ray.errors import DataError
from uss_ray.store.options import Storage, StoreOptions
from uss_ray.store.store import Store


class CompareRuns(Settings):
    """Compare two runs on one list, item by item, with intervals of the difference."""

    one: Location = Field(description="Folder of a run, or its result.json.")
    other: Location = Field(description="Another, on the same list.")
    measure: str | None = Field(
        default=None, description="What to compare; without it the benchmark's main score."
    )
    storage: Storage = StoreOptions()


class ReportRuns(Settings):
    """Write runs as a page, report.html, and as report.md."""

    runs: tuple[Location, ...] = Field(min_length=1, description="Folders of runs, or their result.json.")
    output: Location | None = Field(
        default=None, description="Folder for the two; without it that of the first run."
    )
    storage: Storage = StoreOptions()


COMPARE: Final = Command(
    name="evaluate compare",
    model=CompareRuns,
    positionals={"one": "RUN", "other": "RUN"},
    names={"storage": STORAGE_NAME},
)
REPORT: Final = Command(
    name="evaluate report",
    model=ReportRuns,
    positionals={"runs": "RUN..."},
    short={"output": "-o"},
    names={"storage": STORAGE_NAME},
)


def compare(arguments: Sequence[str]) -> int:
    """Compare, and show it."""
    asked, _ = COMPARE.read(arguments)

    from uss_ray.cli.display import say, show_table
    from uss_ray.cli.evaluate_run import figure
    from uss_ray.evaluation.compare import compare_runs
    from uss_ray.evaluation.result import read_result
    from uss_ray.evaluation.rows import read_rows

    one, other = (Store(place, asked.storage, DataError) for place in (asked.one, asked.other))
    results = read_result(one), read_result(other)
    measure = asked.measure or results[0].main_score
    rows = read_rows(one, items=results[0].items), read_rows(other, items=results[1].items)
    found = compare_runs(results, rows, measure=measure)
    names = [result.weights for result in results]
    if names[0] == names[1]:
        names = [f"{result.weights} {result.weights_sha256[:8]}" for result in results]
    names = [
        f"{name} ({result.changes})" if result.changes else name
        for name, result in zip(names, results, strict=True)
    ]
    columns = ("System", "Query", "Targets", "First", "Second", "Difference", "Left out", "Second is")
    show_table(
        columns,
        [
            (
                row.system,
                row.query,
                str(row.difference.items),
                figure(row.one),
                figure(row.other),
                figure(row.difference),
                f"{row.only_one} + {row.only_other}",
                row.verdict,
            )
            for row in found
        ],
        title=f"{results[0].title}: {' against '.join(names)}, {measure}",
        right=columns[2:7],
    )
    say(f"On targets of list {results[0].list_sha256[:12]} that both have, drawn in pairs")
    say("Left out: targets that the first alone has a score of, and those of the second alone")
    return 0


def report(arguments: Sequence[str]) -> int:
    """Write the page and the Markdown, and say where they are."""
    asked, _ = REPORT.read(arguments)

    from uss_ray.cli.display import say
    from uss_ray.evaluation.heard import read_heard
    from uss_ray.evaluation.report import Run, report_html, report_markdown
    from uss_ray.evaluation.result import read_result
    from uss_ray.evaluation.rows import read_rows
    from uss_ray.ontology.vocabulary import Vocabulary

    places = [Store(place, asked.storage, DataError) for place in asked.runs]
    folders = [place.parent if str(place).endswith(".json") else place for place in places]
    results = [read_result(place) for place in folders]
    runs = [
        Run(result, read_rows(place, items=result.items), read_heard(place, result.heard))
        for result, place in zip(results, folders, strict=True)
    ]
    folder = folders[0] if asked.output is None else Store(asked.output, asked.storage)
    vocabulary = Vocabulary.load()
    for name, text in (
        ("report.html", report_html(runs, vocabulary=vocabulary)),
        ("report.md", report_markdown(runs, vocabulary=vocabulary)),
    ):
        (folder / name).put(text.encode())
        say(f"Report: {folder / name}")
    return 0
