"""The few lines a user reads at the end of a run; how they are drawn is the command line's business."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable

from uss_ray.results.index.table import IndexRow

_COUNTED_ONLY = ("explained", "absent", "unknown")
COLUMNS = ("Recording", "Level", "Sound", "Status", "Probability", "Active", "Level dB", "Stem")


@dataclasses.dataclass(frozen=True)
class Summary:
    """A table and what it leaves out.

    Parameters
    ----------
    columns : tuple of str
        Headings.
    lines : tuple of tuple of str
        One for each row of what was found and separated, by recording and level.
    counts : dict of str to int
        Rows by status, residuals not counted.
    recordings : int
        Different recordings.
    """

    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    counts: dict[str, int]
    recordings: int


def summary_table(rows: Iterable[IndexRow]) -> Summary:
    """Sum up index rows.

    Parameters
    ----------
    rows : iterable of IndexRow
        Of one or more recordings.

    Returns
    -------
    Summary
        Plain text, ready to be drawn. Nodes that are absent, unknown or explained are counted but get no line; a
        probability that is doubtful has a question mark.
    """
    ordered = sorted(
        rows,
        key=lambda row: (
            row.recording_id,
            row.group is None,
            row.group or 0,
            row.kind == "residual",
            -(row.level_db if row.level_db is not None else float("-inf")),
        ),
    )
    counts = Counter(str(row.status) for row in ordered if row.kind != "residual")
    return Summary(
        columns=COLUMNS,
        lines=tuple(_line(row) for row in ordered if row.status not in _COUNTED_ONLY),
        counts=dict(counts),
        recordings=len({row.recording_id for row in ordered}),
    )


def probability_text(probability: float | None, *, certainty: str | None) -> str:
    """Write a probability, with a question mark where what was detected is doubtful; empty if there is none."""
    if probability is None:
        return ""
    return f"{probability:.2f}" + ("?" if certainty == "doubtful" else "")


def _line(row: IndexRow) -> tuple[str, ...]:
    return (
        row.recording_id,
        "" if row.kind == "recording" else "query" if row.level is None else str(row.level or ""),
        row.label,
        row.status,
        probability_text(row.probability, certainty=row.certainty),
        f"{row.active_seconds:.1f} s" if row.heard_spans else "",
        "" if row.level_db is None else f"{row.level_db:.1f}",
        _where(row),
    )


def _where(row: IndexRow) -> str:
    """Name the stem, the folder of its spans, or the reason that there is none."""
    spans = [span.stem_uri for span in row.active_spans if span.stem_uri is not None]
    if spans:
        folder = spans[0].rpartition("/")[0]
        return f"{folder}/ ({len(spans)} {'file' if len(spans) == 1 else 'files'})"
    return row.stem_uri or row.reason or ""
