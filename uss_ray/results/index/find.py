"""Asking the index of an output root: which recordings hold a sound, where in them, and where its stem lies.

Reads part after part, a few ahead, and keeps only rows that fit: memory does not grow with the index. What must hold
is left to Parquet, so row groups that cannot fit are not decoded. Owns no names of sounds but through a vocabulary.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.dataset import Expression, ParquetFileFormat, field
from pyarrow.parquet import ParquetFile

from uss_ray.arrow import parquet_of
from uss_ray.errors import ConfigError, DataError, OutputError, UssRayError
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.parallel import map_stream
from uss_ray.results.index.table import (
    INDEX_SCHEMA,
    INDEX_STATUSES,
    PARTS_AT_ONCE,
    Kind,
    Status,
    check_index_version,
    heard_in,
    index_parts,
    open_part,
)
from uss_ray.results.layout import recordings_in
from uss_ray.store.faults import is_transient
from uss_ray.store.store import FoundFile, Location, Store

HEARD: tuple[Status, ...] = ("written", "detected")
"""Statuses of rows whose sound was heard: with a stem, or in an index that was made without stems."""

_QUERY_PREFIX = "query:"
_COLUMNS = [
    "recording_id",
    "recording_uri",
    "node_id",
    "label",
    "level",
    "kind",
    "status",
    "reason",
    "probability",
    "certainty",
    "active_spans",
    "detected_spans",
    "active_seconds",
    "stem_uri",
    "sample_rate",
    "frames",
]
_LATER_COLUMNS = ("certainty", "detected_spans")
_PARTS_OF_A_PAGE = 1000
_FOLDERS_UP = 9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a row must be to be found; None asks nothing.

    Parameters
    ----------
    node_ids : frozenset of str or None, default=None
        Ids of nodes, or ``query:<name>``; see `nodes_named`.
    min_probability : float or None, default=None
        Least probability, in [0, 1]; a row without one does not fit.
    min_seconds : float or None, default=None
        Least time in which the sound is detected, over all its spans; 0 or more.
    statuses : tuple of Status, default=HEARD
        Statuses that fit; at least one.
    kinds : frozenset of Kind or None, default=None
        Kinds that fit; ``recording`` is that of one that could not be separated.
    recordings : tuple of str, default=()
        Ids of recordings, or patterns of them with ``*`` and ``?``; none asks for all.

    Raises
    ------
    ConfigError
        If a value is out of its range or a status unknown.
    """

    node_ids: frozenset[str] | None = None
    min_probability: float | None = None
    min_seconds: float | None = None
    statuses: tuple[Status, ...] = HEARD
    kinds: frozenset[Kind] | None = None
    recordings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.min_probability is not None and not 0 <= self.min_probability <= 1:
            raise ConfigError(
                "min_probability", expected="a number in [0, 1]", found=str(self.min_probability)
            )
        if self.min_seconds is not None and not self.min_seconds >= 0:
            raise ConfigError("min_seconds", expected="0 or more", found=str(self.min_seconds))
        for status in self.statuses or ("none",):
            if status not in INDEX_STATUSES:
                raise ConfigError("status", expected=f"one of {', '.join(INDEX_STATUSES)}", found=status)

    def expression(self) -> Expression:
        """State it as a filter that Parquet understands."""
        fits = (field("kind") != "residual") & field("status").isin(list(self.statuses))
        if self.node_ids is not None:
            fits &= field("node_id").isin(sorted(self.node_ids))
        if self.kinds is not None:
            fits &= field("kind").isin(sorted(self.kinds))
        if self.min_probability is not None:
            fits &= field("probability") >= pa.scalar(self.min_probability, pa.float32())
        if self.min_seconds is not None:
            fits &= field("active_seconds") >= self.min_seconds
        if self.recordings:
            patterns = "|".join(map(_pattern, self.recordings))
            fits &= pc.match_substring_regex(field("recording_id"), pattern=f"^(?s:{patterns})$")
        return fits


FAILED: Final = Wanted(statuses=("failed",), kinds=frozenset({"recording"}))
"""Recordings that could not be separated."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundSpan:
    """A stretch in which the sound is detected.

    Parameters
    ----------
    start_seconds, end_seconds : float
        Seconds from the start of the recording.
    stem : str or None
        Where the file lies that was made of it, or of a longer stretch around it, if there is one.
    """

    start_seconds: float
    end_seconds: float
    stem: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """A row of the index that fits; see `index.IndexRow` for what the fields mean.

    Parameters
    ----------
    recording_id, recording_uri, node_id, label, level, kind, status, reason, probability, certainty, \
    active_seconds, sample_rate, frames
        As in the index.
    spans : tuple of FoundSpan
        Where the sound is detected, in order.
    stem : str or None
        Where the stem lies, root and all. Where stretches have files instead and the sound is detected in none, the
        first of these.
    """

    recording_id: str
    recording_uri: str
    node_id: str
    label: str
    level: int | None
    kind: str
    status: str
    reason: str | None
    probability: float | None
    certainty: str | None
    active_seconds: float
    spans: tuple[FoundSpan, ...]
    stem: str | None
    sample_rate: int | None
    frames: int | None

    def to_record(self) -> dict[str, Any]:
        """Turn the finding into plain values, as JSON takes them."""
        return dataclasses.asdict(self)


def nodes_named(names: Iterable[str], *, vocabulary: Vocabulary, exact: bool = False) -> frozenset[str]:
    """Find the node ids that names stand for.

    Parameters
    ----------
    names : iterable of str
        Class indexes, node ids or labels, in any case; ``query:<name>`` stands for itself.
    vocabulary : Vocabulary
        The ontology.
    exact : bool, default=False
        Leave out what lies below the named nodes.

    Returns
    -------
    frozenset of str
        Their ids, and unless `exact` those of all their descendants: who looks for *Dog* wants *Bark* as well.

    Raises
    ------
    QueryError
        If a name is unknown; it names near misses.

    Examples
    --------
    >>> vocabulary = Vocabulary.load()
    >>> sorted(nodes_named(["dog"], vocabulary=vocabulary, exact=True))
    ['/m/0bt9lr']
    >>> len(nodes_named(["dog"], vocabulary=vocabulary))
    8
    """
    found: set[str] = set()
    for name in names:
        if name.startswith(_QUERY_PREFIX):
            found.add(name)
            continue
        node = vocabulary.resolve(name)
        nodes = (node,) if exact else vocabulary.ontology.descendants(node.node_id)
        found.update(one.node_id for one in nodes)
    return frozenset(found)


def root_of(folder: Store) -> tuple[Store, tuple[str, ...]]:
    """Find the output root that a folder of results belongs to.

    Parameters
    ----------
    folder : Store
        An output root, or the folder of a recording below one, or a folder of such folders.

    Returns
    -------
    root : Store
        The same, if nothing above it has an index.
    recordings : tuple of str
        For `Wanted`: the recordings whose results lie there; none for a root.

    Raises
    ------
    OutputError
        If the store does not answer.
    """
    root = folder
    for _ in range(_FOLDERS_UP):
        if _has_index(root):
            return root, recordings_in(folder.relative_to(root)) if root != folder else ()
        if root.parent == root:
            break
        root = root.parent
    return folder, ()


def weights_of(root: Store) -> str | None:
    """Tell which weights an output is of: the sha256 that its first row has; None without a row.

    Raises
    ------
    DataError
        If there is no index, or its first part is not Parquet.
    OutputError
        If the store does not answer.
    """
    for part in index_parts(root):
        with parquet_of(str(part.place)), part.place.open() as file:
            for batch in ParquetFile(file).iter_batches(1, columns=["weights_sha256"]):
                return str(batch.column(0)[0])
    return None


def _has_index(root: Store) -> bool:
    """Tell whether there is an index that can be listed."""
    try:
        return next(index_parts(root), None) is not None
    except UssRayError as error:
        if is_transient(error):  # it was waited for; the folder above would be waited for as long
            raise
        return False


def _pattern(recording: str) -> str:
    """Turn an id with ``*`` and ``?`` into a regular expression of RE2."""
    marks = {"*": ".*", "?": "."}
    return "".join(marks.get(part) or re.escape(part) for part in re.split(r"([*?])", recording) if part)


def find(root: Location | Store, *, wanted: Wanted) -> Iterator[Finding]:
    """Find rows in the index of an output root, as they are read.

    Parameters
    ----------
    root : Store, str or path
        Output root.
    wanted : Wanted
        What must hold.

    Yields
    ------
    Finding
        In the order of the index: parts by name, rows as they stand in them.

    Raises
    ------
    DataError
        If there is no index, or a part is not Parquet, of an unknown version or without a column.
    OutputError
        If the store does not answer.
    """
    output = Store.of(root, OutputError)
    with closing(_matching_tables(output, wanted=wanted)) as tables:
        for _, table in tables:
            for record in table.to_pylist():
                yield _finding(record, root=output)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """Some of the rows that fit.

    Parameters
    ----------
    rows : tuple of (str, Finding)
        Each with the name of the part of the index that holds it.
    next : str or None
        Where the next page begins; None where this is the last. A page before it may have few rows, or none: of what
        is rare, so many parts are looked through at a time.
    """

    rows: tuple[tuple[str, Finding], ...]
    next: str | None


def find_page(root: Store, *, wanted: Wanted, cursor: str = "", most_rows: int = 100) -> Page:
    """Find rows as `find` does, a page at a time, in time and memory that hang neither on the index nor on the page.

    Parameters
    ----------
    root : Store
        Output root.
    wanted : Wanted
        What must hold, the same for all pages.
    cursor : str, default=""
        `Page.next` of the page before.
    most_rows : int, default=100

    Raises
    ------
    ConfigError
        If the cursor is none.
    NoIndexError, DataError, OutputError
        As `find`.
    """
    first, _, given = cursor.rpartition(":")
    if cursor and not (first and given.isdecimal() and given.isascii()):
        raise ConfigError("cursor", expected="`next` of the page before", found=cursor)
    rows: list[tuple[str, Finding]] = []
    with closing(_matching_tables(root, wanted=wanted, first=first)) as tables:
        for looked, (part, table) in enumerate(tables, start=1):
            start = int(given) if part == first else 0
            left = most_rows - len(rows)
            rows += ((part, _finding(record, root=root)) for record in table.slice(start, left).to_pylist())
            if len(table) - start > left:
                return Page(rows=tuple(rows), next=f"{part}:{start + left}")
            if looked == _PARTS_OF_A_PAGE:
                return Page(rows=tuple(rows), next=f"{part}:{len(table)}")
    return Page(rows=tuple(rows), next=None)


def _matching_tables(
    root: Store, *, wanted: Wanted, first: str = ""
) -> Generator[tuple[str, pa.Table], None, None]:
    expression = wanted.expression()
    parts = index_parts(root, first=f"{first}.parquet" if first else "")
    return map_stream(
        lambda part: (part.place.name.removesuffix(".parquet"), _read_matching(part, expression=expression)),
        parts,
        threads=PARTS_AT_ONCE,
    )


def _read_matching(part: FoundFile, *, expression: Expression) -> pa.Table:
    with open_part(part) as file:
        return _filtered(file, str(part.place), expression)


def _filtered(file: Any, name: str, expression: Expression) -> pa.Table:
    with parquet_of(name):
        fragment = ParquetFileFormat().make_fragment(file)
        schema = fragment.physical_schema
        check_index_version(schema, name=name)
        missing = [column for column in _COLUMNS if column not in (*schema.names, *_LATER_COLUMNS)]
        if missing:
            raise DataError(name, expected="the columns of the index", found=f"missing {missing}")
        there = [column for column in _COLUMNS if column in schema.names]
        table = fragment.to_table(columns=there, filter=expression, use_threads=False)
        table = table.cast(pa.schema([INDEX_SCHEMA.field(column) for column in there]))
        table.validate(full=True)
        return table


def _finding(record: dict[str, Any], *, root: Store) -> Finding:
    heard, active = heard_in(record), record.pop("active_spans")
    record.pop("detected_spans", None)
    spans = tuple(
        FoundSpan(
            start_seconds=span["start_seconds"],
            end_seconds=span["end_seconds"],
            stem=_located(span.get("stem_uri"), root=root),
        )
        for span in heard
    )
    record.setdefault("certainty", None)  # which older parts do not have
    stem = record.pop("stem_uri")
    if stem is None and not heard:
        stem = next((span["stem_uri"] for span in active if span.get("stem_uri")), None)
    return Finding(**record | {"spans": spans, "stem": _located(stem, root=root)})


def _located(name: str | None, *, root: Store) -> str | None:
    return None if name is None else str(root / name)
