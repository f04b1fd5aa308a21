"""What is told of a recording to whoever started the job: one small row each, whatever was separated."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

from uss_ray.pipelines.listing import Recording
from uss_ray.pipelines.separate_one import SeparatedRecording

OUTCOME_SCHEMA = pa.schema(
    [
        pa.field("recording_key", pa.int64(), False),
        pa.field("recording_id", pa.string(), False),
        pa.field("recording_uri", pa.string(), False),
        pa.field("status", pa.string(), False),
        pa.field("reason", pa.string()),
        pa.field("seconds", pa.float64(), False),
        pa.field("processing_seconds", pa.float64(), False),
        pa.field("written", pa.int32(), False),
        pa.field("silent", pa.int32(), False),
        pa.field("absent", pa.int32(), False),
        pa.field("loudest", pa.list_(pa.string()), False),
        pa.field("report", pa.string()),
    ]
)
LOUDEST_STEMS = 3

OutcomeStatus = Literal["separated", "failed"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one recording.

    Parameters
    ----------
    recording_key : int
        See `listing.Recording`.
    recording_id, recording_uri : str
        Which recording.
    status : {"separated", "failed"}
        Whether its results are there.
    reason : str or None, default=None
        One line, for `failed` only.
    seconds, processing_seconds : float, default=0.0
        Length of the recording and the time it took.
    written, silent, absent : int, default=0
        Stems by status, residuals not counted.
    loudest : tuple of str, default=()
        Labels of the loudest stems of the deepest level, loudest first.
    report : str or None, default=None
        Its HTML page.
    """

    recording_key: int
    recording_id: str
    recording_uri: str
    status: OutcomeStatus
    reason: str | None = None
    seconds: float = 0.0
    processing_seconds: float = 0.0
    written: int = 0
    silent: int = 0
    absent: int = 0
    loudest: tuple[str, ...] = ()
    report: str | None = None

    def to_table(self) -> pa.Table:
        """Turn the outcome into a table of one row of `OUTCOME_SCHEMA`."""
        return pa.Table.from_pylist([asdict(self)], schema=OUTCOME_SCHEMA)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Outcome:
        """Make the outcome again from a row of such a table."""
        return cls(**{**record, "loudest": tuple(record["loudest"])})


def separated_outcome(separated: SeparatedRecording) -> Outcome:
    """Sum up a recording that was separated."""
    stems = [row for row in separated.rows if row.kind != "residual"]
    counts = Counter(row.status for row in stems)
    kept = [row for row in stems if row.status == "written"]
    deepest = max((row.level or 0 for row in kept), default=0)
    loudest = sorted(
        (row for row in kept if (row.level or 0) == deepest),
        key=lambda row: row.level_db if row.level_db is not None else float("-inf"),
        reverse=True,
    )
    return Outcome(
        recording_key=separated.recording.recording_key,
        recording_id=separated.recording.recording_id,
        recording_uri=separated.recording.recording_uri,
        status="separated",
        seconds=separated.seconds,
        processing_seconds=separated.processing_seconds,
        written=counts["written"],
        silent=counts["silent"],
        absent=counts["absent"],
        loudest=tuple(row.label for row in loudest[:LOUDEST_STEMS]),
        report=separated.report,
    )


def failed_outcome(recording: Recording, *, reason: str) -> Outcome:
    """Sum up a recording that could not be separated."""
    return Outcome(
        recording_key=recording.recording_key,
        recording_id=recording.recording_id,
        recording_uri=recording.recording_uri,
        status="failed",
        reason=" ".join(reason.split()),
    )
