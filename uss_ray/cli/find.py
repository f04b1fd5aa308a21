"""`uss-ray find`: which recordings of an archive hold a sound, and where in them."""

from __future__ import annotations

import csv
import dataclasses
import pickle
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge, nlargest
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, cast

from pydantic import Field

from uss_ray.cli.command import STORAGE_NAME, Command
from uss_ray.cli.notes import note, write_json
from uss_ray.config import Location, Settings
from uss_ray.errors import ConfigError, OutputError, QueryError
from uss_ray.ontology.source import ClassListFile, OntologyFile
from uss_ray.results.options import LabelFormat
from uss_ray.store.options import Storage, StoreOptions
from uss_ray.wording import plain

if TYPE_CHECKING:
    from uss_ray.ontology.known import KnownNodes
    from uss_ray.ontology.vocabulary import Vocabulary
    from uss_ray.results.index.find import Finding, Wanted
    from uss_ray.results.index.table import Status
    from uss_ray.store.store import Store

_TABLE_ROWS = 100
_SPANS_SHOWN = 3
_SORTED_AT_ONCE = 2000
_ROWS_COUNTED = 10_000  # of what is not found: an archive has a row of it for each recording
CSV_COLUMNS = (
    "recording_id",
    "recording_uri",
    "node_id",
    "label",
    "level",
    "kind",
    "status",
    "probability",
    "certainty",
    "active_seconds",
    "start_seconds",
    "end_seconds",
    "stem",
    "reason",
)


class FindSounds(Settings):
    """Find recordings and spans by what was heard, from the index of an output."""

    output: Location = Field(
        description="Folder or URI that `archive` or `separate` wrote, or the folder of one recording in it or of some."
    )
    classes: tuple[str, ...] = Field(
        default=(),
        description="Sound by label, id or class index, with all below it; may be repeated.",
    )
    texts: tuple[str, ...] = Field(
        default=(), description="Sound in a few words, such as 'dog barking'; may be repeated."
    )
    recordings: tuple[str, ...] = Field(
        default=(), description="Recording by its id, or by a pattern such as 'tapes/*.wav'; may be repeated."
    )
    exact: bool = Field(default=False, description="Only the sounds named, not those below them.")
    min_probability: float | None = Field(default=None, ge=0, le=1, description="Least probability.")
    min_seconds: float | None = Field(default=None, ge=0, description="Least time in which it is heard.")
    statuses: tuple[str, ...] = Field(
        default=("written", "detected"),
        description="written, detected, silent, explained, absent, unknown or failed; may be repeated.",
    )
    sort: Literal["index", "probability", "seconds"] = Field(
        default="index", description="What comes first: the most probable, or what is heard longest."
    )
    limit: int | None = Field(default=None, ge=1, description="Most rows; in a table 100.")
    json_lines: bool = Field(default=False, description="A JSON object a line.")
    csv_rows: bool = Field(default=False, description="CSV, a row for each span.")
    labels: tuple[LabelFormat, ...] = Field(
        default=(),
        description="Write what was found beside the stems of each recording, for the tools named; see `separate`.",
    )
    labels_folder: Location | None = Field(
        default=None, description="Folder or URI for these labels instead, a folder a recording in it."
    )
    ontology: OntologyFile = None
    class_list: ClassListFile = None
    storage: Storage = StoreOptions()


COMMAND: Final = Command(
    name="find",
    model=FindSounds,
    positionals={"output": "OUTPUT"},
    names={
        "classes": "class",
        "texts": "text",
        "recordings": "recording",
        "statuses": "status",
        "json_lines": "json",
        "csv_rows": "csv",
        "storage": STORAGE_NAME,
    },
    lists=("labels",),
    aliases={"--classes": "--class", "--texts": "--text"},
)


def run(arguments: Sequence[str]) -> int:
    """Look into the index, and show what was found."""
    asked, _ = COMMAND.read(arguments)
    if asked.json_lines + asked.csv_rows + bool(asked.labels) > 1:
        raise ConfigError("--json, --csv, --labels", expected="one of them", found="several")
    if asked.labels_folder and not asked.labels:
        raise ConfigError("--labels-folder", expected="--labels beside it", found="none")

    from uss_ray.cli.display import show_matches
    from uss_ray.ontology.vocabulary import Vocabulary
    from uss_ray.results.index.find import Wanted, find, nodes_named, root_of, weights_of
    from uss_ray.store.store import Store

    vocabulary = Vocabulary.load(ontology_path=asked.ontology, classes_path=asked.class_list)
    root, below = root_of(Store(asked.output, asked.storage, OutputError))
    known = _known(vocabulary, weights_sha256=weights_of(root)) if asked.texts else None
    matches = tuple((text, known.resolve_text(text)) for text in asked.texts) if known else ()
    show_matches(matches)
    names = [*asked.classes, *(match.node.node_id for _, match in matches)]
    if below and asked.recordings:
        raise ConfigError("find --recording", expected="an output root", found=f"the folder of {below[0]}")
    wanted = Wanted(
        node_ids=nodes_named(names, vocabulary=vocabulary, exact=asked.exact) if names else None,
        min_probability=asked.min_probability,
        min_seconds=asked.min_seconds,
        statuses=cast("tuple[Status, ...]", asked.statuses),
        recordings=asked.recordings or below,
    )
    named = ", ".join(asked.recordings) or str(asked.output)
    labels = frozenset(
        vocabulary.ontology.node(key).label
        for key in wanted.node_ids or ()
        if key in vocabulary.ontology.nodes
    )
    findings = _sorted(
        _told_if_none(find(root, wanted=wanted), root=root, wanted=wanted, named=named, labels=labels), asked
    )
    if asked.labels:
        place = Store(asked.labels_folder, asked.storage, OutputError) if asked.labels_folder else root
        chosen = islice(findings, asked.limit)
        # Only in the order of the index are those of a recording together.
        by_recording = (
            chosen if asked.sort == "index" else _in_order(chosen, key=lambda finding: finding.recording_id)
        )
        _write_labels(by_recording, place=place, formats=asked.labels)
    elif asked.json_lines or asked.csv_rows:
        (_write_json if asked.json_lines else _write_csv)(islice(findings, asked.limit))
    else:
        _show(findings, rows=asked.limit or _TABLE_ROWS)
    return 0


def _known(vocabulary: Vocabulary, *, weights_sha256: str | None) -> KnownNodes:
    """Tell what the weights of an output know, so that words are taken for what can have been found."""
    from uss_ray.ontology.known import KnownNodes
    from uss_ray.weights.locate import known_classes_here

    return KnownNodes(vocabulary, known_classes_here(weights_sha256) if weights_sha256 else None)


def _told_if_none(
    findings: Iterator[Finding], *, root: Store, wanted: Wanted, named: str, labels: frozenset[str]
) -> Iterator[Finding]:
    """Say of what is not found what the index has of it: that it is absent, or that nobody could have found it.

    Labels are those of `wanted`; a sound that was asked for in a union has a row in no other name than the union's.
    """
    first = next(findings, None)
    if first is not None:
        yield first
        yield from findings
        return

    from uss_ray.ontology.vocabulary import UNION_JOINT
    from uss_ray.results.index.find import Wanted, find
    from uss_ray.results.index.table import INDEX_STATUSES

    if wanted.recordings:
        anything = dataclasses.replace(
            wanted, node_ids=None, min_probability=None, min_seconds=None, statuses=INDEX_STATUSES
        )
        if next(find(root, wanted=anything), None) is None:
            raise QueryError(named, expected="a recording of the index", found="no row of it")
    if wanted.node_ids is not None:
        least = _least(wanted)
        others = tuple(status for status in INDEX_STATUSES if status not in wanted.statuses)
        told = []
        # Apart, for what is absent everywhere would leave no room for the few that were heard.
        for statuses, why in ((wanted.statuses if least else (), least), (others, "(--status)")):
            if not statuses:
                continue
            asked = dataclasses.replace(wanted, statuses=statuses, min_probability=None, min_seconds=None)
            rows = list(islice(find(root, wanted=asked), _ROWS_COUNTED))
            told += [f"{_counted(rows)} {why}"] if rows else []
        note(
            f"Nothing of it; the index has of it: {'; '.join(told)}"
            if told
            else "The index has no row of it."
        )
        of_unions = Wanted(statuses=INDEX_STATUSES, kinds=frozenset({"union"}), recordings=wanted.recordings)
        unions = islice(find(root, wanted=of_unions), _ROWS_COUNTED)
        holding = {row.node_id: row.label for row in unions if labels & set(row.label.split(UNION_JOINT))}
        for key, label in holding.items():
            note(f"The union {label} has it, in a stem with others: --class {key}")


def _least(wanted: Wanted) -> str:
    """Name what a row was to have at least; nothing, if that was not asked."""
    asked = {"--min-probability": wanted.min_probability, "--min-seconds": wanted.min_seconds}
    flags = [f"{flag} {value:g}" for flag, value in asked.items() if value is not None]
    return f"below {' or '.join(flags)}" if flags else ""


def _counted(rows: Sequence[Finding]) -> str:
    """Count rows by their status."""
    counts = Counter(finding.status for finding in rows)
    told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    unsure = sum(row.status == "absent" and row.certainty == "doubtful" for row in rows)
    told += f" (of {unsure} it is doubtful that they are absent)" if unsure else ""
    return f"{told}, and more" if len(rows) == _ROWS_COUNTED else told


def _sorted(findings: Iterator[Finding], asked: FindSounds) -> Iterator[Finding]:
    if asked.sort == "index":
        return findings

    def rank(finding: Finding) -> float:
        probability = -1.0 if finding.probability is None else finding.probability
        return probability if asked.sort == "probability" else finding.active_seconds

    rows = asked.limit or (None if asked.json_lines or asked.csv_rows or asked.labels else _TABLE_ROWS)
    # one more than is shown tells that there are more
    if rows is not None and rows < _SORTED_AT_ONCE:
        return iter(nlargest(rows + 1, findings, rank))
    return _in_order(findings, key=rank, reverse=True)


def _in_order(
    findings: Iterator[Finding], *, key: Callable[[Finding], Any], reverse: bool = False
) -> Iterator[Finding]:
    """Sort what may be more than memory holds, as `sorted` does: some at a time, which wait in a file."""
    with tempfile.TemporaryFile() as file:
        runs: list[Iterator[Finding]] = []
        while some := sorted(islice(findings, _SORTED_AT_ONCE), key=key, reverse=reverse):
            if not runs and len(some) < _SORTED_AT_ONCE:
                yield from some
                return
            runs.append(_packed(some, file))
        yield from merge(*runs, key=key, reverse=reverse)


def _packed(findings: Sequence[Finding], file: BinaryIO) -> Iterator[Finding]:
    """Put findings behind what is in a file; give them again, one at a time, while others are read from it too."""
    place, count = file.tell(), len(findings)
    for finding in findings:
        pickle.dump(finding, file)

    def again() -> Iterator[Finding]:
        at = place
        for _ in range(count):
            file.seek(at)
            finding = pickle.load(file)  # noqa: S301 - of this process, in a file that has no name
            at = file.tell()
            yield finding

    return again()


def _write_labels(findings: Iterable[Finding], *, place: Store, formats: Sequence[LabelFormat]) -> None:
    from uss_ray.cli.display import say
    from uss_ray.results.labels import LabelledRecording, label_files

    recordings = events = 0
    for _, found in groupby(findings, key=lambda finding: finding.recording_id):
        labelled = LabelledRecording.of_findings(list(found))
        for name, content in label_files(labelled, formats):
            (place / name).put(content)
        recordings += 1
        events += len(labelled.events)
    say(f"{events} labels of {recordings} recordings: {place}/<recording>/labels.*")


def _show(findings: Iterator[Finding], *, rows: int) -> None:
    from uss_ray.cli.display import show_table

    shown = list(islice(findings, rows))
    show_table(
        ("Recording", "Sound", "Level", "Status", "Probability", "Active s", "Spans s", "Stem"),
        [_line(finding) for finding in shown],
        title="",
        right=("Level", "Probability", "Active s"),
        below=("Recording", "Stem"),
    )
    recordings = len({finding.recording_id for finding in shown})
    seconds = sum(finding.active_seconds for finding in shown)
    note(f"{len(shown)} rows, {recordings} recordings, {seconds:.1f} s")
    if next(findings, None) is not None:
        note("There are more: --limit N shows more, --json and --csv all.")


def _line(finding: Finding) -> tuple[str, ...]:
    from uss_ray.results.report.summary import probability_text

    spans = [f"{span.start_seconds:.1f}–{span.end_seconds:.1f}" for span in finding.spans[:_SPANS_SHOWN]]
    if len(finding.spans) > _SPANS_SHOWN:
        spans.append(f"+{len(finding.spans) - _SPANS_SHOWN}")
    stem = finding.stem or next((span.stem for span in finding.spans if span.stem), None)
    return (
        finding.recording_id,
        finding.label,
        "" if finding.level is None else str(finding.level),
        finding.status,
        probability_text(finding.probability, certainty=finding.certainty),
        f"{finding.active_seconds:.1f}",
        ", ".join(spans),
        stem or finding.reason or "",
    )


def _write_json(findings: Iterable[Finding]) -> None:
    for finding in findings:
        write_json(finding.to_record())


def _write_csv(findings: Iterable[Finding]) -> None:
    table = csv.DictWriter(sys.stdout, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for finding in findings:
        record = finding.to_record()
        if sys.stdout.isatty():  # a program gets the names as they are, a terminal would obey some
            record = {
                name: plain(value) if isinstance(value, str) else value for name, value in record.items()
            }
        spans: list[dict[str, Any]] = record["spans"] or [{}]
        for span in spans:
            table.writerow(record | span | {"stem": span.get("stem") or finding.stem})
