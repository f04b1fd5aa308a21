"""`uss-ray find`: which recordings of an archive hold a sound, and where in them."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from uss_ray.cli import options
from uss_ray.cli.display import say, show_table
from uss_ray.cli.separate import show_matches
from uss_ray.errors import ConfigError

if TYPE_CHECKING:
    from uss_ray.results.index.find import Finding
    from uss_ray.results.index.table import Status

_TABLE_ROWS = 100
_SPANS_SHOWN = 3
_HEARD = "written and detected"
CSV_COLUMNS = (
    "recording_id",
    "recording_uri",
    "node_id",
    "label",
    "level",
    "kind",
    "status",
    "probability",
    "active_seconds",
    "start_seconds",
    "end_seconds",
    "stem",
    "reason",
)


def find(
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT", help="Folder or URI that `archive` or `separate` wrote.", show_default=False
        ),
    ],
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--class", help="Sound by label, id or class index, with all below it; may be repeated."
        ),
    ] = None,
    texts: Annotated[
        list[str] | None,
        typer.Option("--text", help="Sound in a few words, such as 'dog barking'; may be repeated."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Only the sounds named, not those below them.")
    ] = False,
    min_probability: Annotated[
        float | None, typer.Option("--min-probability", help="Least probability, 0 to 1.")
    ] = None,
    min_seconds: Annotated[
        float | None, typer.Option("--min-seconds", help="Least time in which it is heard.")
    ] = None,
    statuses: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            help="written, detected, silent, absent or failed; may be repeated.",
            show_default=_HEARD,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Most rows.", show_default=f"{_TABLE_ROWS} in a table"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV, a row for each span.")] = False,
    ontology: options.OntologyFile = None,
    class_list: options.ClassListFile = None,
    storage_endpoint: options.Endpoint = None,
    storage_profile: options.StorageProfile = None,
    storage_region: options.Region = None,
    patience: options.Patience = None,
) -> None:
    """Find recordings and spans by what was heard, from the index of an output."""
    from uss_ray.ontology.vocabulary import Vocabulary
    from uss_ray.results.index.find import HEARD, Wanted, nodes_named
    from uss_ray.results.index.find import find as find_in_index
    from uss_ray.store.store import Store, StoreOptions

    if as_json and as_csv:
        raise ConfigError("--json, --csv", expected="one of them", found="both")
    storage = StoreOptions(
        endpoint=storage_endpoint, profile=storage_profile, region=storage_region, patience_seconds=patience
    )
    vocabulary = Vocabulary.load(ontology_path=ontology, classes_path=class_list)
    matches = tuple((text, vocabulary.resolve_text(text)) for text in texts or ())
    asked = [*(names or ()), *(match.node.node_id for _, match in matches)]
    wanted = Wanted(
        node_ids=nodes_named(asked, vocabulary=vocabulary, exact=exact) if asked else None,
        min_probability=min_probability,
        min_seconds=min_seconds,
        statuses=cast("tuple[Status, ...]", tuple(statuses)) if statuses else HEARD,
    )
    findings = find_in_index(Store(output, storage), wanted=wanted)
    if as_json or as_csv:
        with _ending_with_its_reader():
            (_write_json if as_json else _write_csv)(islice(findings, limit))
    else:
        show_matches(matches)
        _show(findings, rows=limit or _TABLE_ROWS, output=output)


def _show(findings: Iterator[Finding], *, rows: int, output: str) -> None:
    shown = list(islice(findings, rows))
    show_table(
        ("Recording", "Sound", "Level", "Status", "Probability", "Active s", "Spans s", "Stem"),
        [_line(finding) for finding in shown],
        title=output,
        right=("Level", "Probability", "Active s"),
    )
    recordings = len({finding.recording_id for finding in shown})
    seconds = sum(finding.active_seconds for finding in shown)
    say(f"{len(shown)} rows, {recordings} recordings, {seconds:.1f} s")
    if next(findings, None) is not None:
        say("There are more: --limit N shows more, --json and --csv all.")


def _line(finding: Finding) -> tuple[str, ...]:
    spans = [f"{span.start_seconds:.1f}–{span.end_seconds:.1f}" for span in finding.spans[:_SPANS_SHOWN]]
    if len(finding.spans) > _SPANS_SHOWN:
        spans.append(f"+{len(finding.spans) - _SPANS_SHOWN}")
    stem = finding.stem or next((span.stem for span in finding.spans if span.stem), None)
    return (
        finding.recording_id,
        finding.label,
        "" if finding.level is None else str(finding.level),
        finding.status,
        "" if finding.probability is None else f"{finding.probability:.2f}",
        f"{finding.active_seconds:.1f}",
        ", ".join(spans),
        stem or finding.reason or "",
    )


def _write_json(findings: Iterable[Finding]) -> None:
    for finding in findings:
        sys.stdout.write(json.dumps(finding.to_record(), ensure_ascii=False) + "\n")


def _write_csv(findings: Iterable[Finding]) -> None:
    table = csv.DictWriter(sys.stdout, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for finding in findings:
        record = finding.to_record()
        spans: list[dict[str, Any]] = record["spans"] or [{}]
        for span in spans:
            table.writerow(record | span | {"stem": span.get("stem") or finding.stem})


@contextmanager
def _ending_with_its_reader() -> Iterator[None]:
    """Stop without a word when whatever reads the lines has read enough, as `head` does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
