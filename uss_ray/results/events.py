"""What sounds when, as a table: a line for each stretch in which a sound was detected."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from uss_ray.results.index.table import IndexRow

EVENTS_SCHEMA = pa.schema(
    [
        pa.field("start_seconds", pa.float64(), nullable=False),
        pa.field("end_seconds", pa.float64(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("node_id", pa.string(), nullable=False),
        pa.field("level", pa.int16()),
        pa.field("probability", pa.float32()),
        pa.field("certainty", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("recording_id", pa.string(), nullable=False),
    ]
)
"""Columns of `events_table`; `probability` and `certainty` are of the sound over the whole recording."""


def events_table(rows: Iterable[IndexRow]) -> pa.Table:
    """Give a line for each stretch in which the sound of a row was detected, by when it begins.

    Residuals have none, nor has what something more specific explains.

    Returns
    -------
    pyarrow.Table
        Of `EVENTS_SCHEMA`; `.to_pandas()` where pandas is installed.
    """
    told = [row for row in rows if row.kind != "residual" and row.status != "explained"]
    found = [(row, span) for row in told for span in row.heard_spans]
    found.sort(key=lambda pair: (pair[1].start_seconds, pair[0].level is None, pair[0].level or 0))
    records = [
        {
            "start_seconds": span.start_seconds,
            "end_seconds": span.end_seconds,
            "label": row.label,
            "node_id": row.node_id,
            "level": row.level,
            "probability": row.probability,
            "certainty": row.certainty,
            "status": row.status,
            "recording_id": row.recording_id,
        }
        for row, span in found
    ]
    return pa.Table.from_pylist(records, schema=EVENTS_SCHEMA)
