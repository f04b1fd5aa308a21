"""What is told of a recording to whoever started the job: one small row each, whatever was separated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from uss_ray.arrow import schema_of
from uss_ray.pipelines.runtime.counters import Increment
from uss_ray.records import Recording, recording_key
from uss_ray.results.index.rows import RecordingRows
from uss_ray.results.index.table import ActiveSpan, IndexRow
from uss_ray.wording import printable, without_bare_secrets

LOUDEST_STEMS = 3
JOIN = "join"
"""Stage in which the spans of long recordings become their stems; in tasks of its own."""

_STEM_STATUSES = ("written", "silent", "explained", "absent", "unknown", "detected")

OutcomeStatus = Literal["separated", "failed", "unfinished", "part"]
"""`unfinished`: nothing is wrong with the recording, but a store, a disk or a stop kept it from being done; a
repetition of the job does it. `part`: one span of a long recording is done."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one recording, or of one span of a long one.

    Parameters
    ----------
    recording_id, recording_uri, content_tag
        Which recording.
    status : {"separated", "failed", "unfinished", "part"}
        Whether its results are there.
    reason : str or None, default=None
        One line, for `failed` and `unfinished`.
    seconds, processing_seconds : float, default=0.0
        Length of the recording and the time it took.
    written, silent, explained, absent, unknown, detected : int, default=0
        Stems by status, residuals not counted.
    stem_bytes : int, default=0
        Size of these stems, without residuals.
    loudest : tuple of str, default=()
        Labels of the loudest stems of the deepest level, or of all events, loudest first.
    part : int or None, default=None
        Number of the span.
    parts : int or None, default=None
        Number of spans of the recording, known with the last one.
    join_seconds : float, default=0.0
        Time that joining the spans took.
    worker : str, default=""
        Who joined them.
    peak_bytes : int, default=0
        Most memory that this one has taken so far.
    """

    recording_id: str
    recording_uri: str
    status: OutcomeStatus
    content_tag: str | None = None
    reason: str | None = None
    seconds: float = 0.0
    processing_seconds: float = 0.0
    written: int = 0
    silent: int = 0
    explained: int = 0
    absent: int = 0
    unknown: int = 0
    detected: int = 0
    stem_bytes: int = 0
    loudest: tuple[str, ...] = ()
    part: int | None = None
    parts: int | None = None
    join_seconds: float = 0.0
    worker: str = ""
    peak_bytes: int = 0

    @property
    def recording(self) -> Recording:
        """Which recording."""
        return Recording(
            recording_uri=self.recording_uri, recording_id=self.recording_id, content_tag=self.content_tag
        )

    @property
    def recording_key(self) -> int:
        """See `records.Recording`."""
        return recording_key(self.recording_id)

    def increment(self) -> Increment:
        """Say what a whole recording adds to the counters."""
        took: dict[str, Any] = {}
        if self.join_seconds:
            took = {"stage_seconds": {JOIN: self.join_seconds}, "stage_peaks": {JOIN: self.peak_bytes}}
        if self.status == "failed":
            return Increment(failed=1, failures={self.reason or "unknown": 1}, **took)
        if self.status == "unfinished":
            return Increment(unfinished=1, unfinished_reason=self.reason, **took)
        amounts = {name: getattr(self, name) for name in _STEM_STATUSES}
        return Increment(
            done=1,
            audio_seconds=self.seconds,
            amounts={**amounts, "stem_bytes": self.stem_bytes},
            **took,
        )


@dataclass(frozen=True, kw_only=True)
class PacketReport:
    """What became of the units of one packet, and what it took.

    Parameters
    ----------
    outcomes : tuple of Outcome
    worker : str
        Who did it.
    decode_seconds, separate_seconds, write_seconds : float, default=0.0
        Time in each stage; writing goes on beside separating.
    peak_bytes : int, default=0
        Most memory that the worker has taken so far.
    decode_peak_bytes : int, default=0
        The same of those that decoded it.
    """

    outcomes: tuple[Outcome, ...]
    worker: str
    decode_seconds: float = 0.0
    separate_seconds: float = 0.0
    write_seconds: float = 0.0
    peak_bytes: int = 0
    decode_peak_bytes: int = 0

    def to_table(self) -> pa.Table:
        """Turn the report into a table of one row of `PACKET_REPORT_SCHEMA`."""
        record = {**vars(self), "outcomes": [vars(outcome) for outcome in self.outcomes]}
        return pa.Table.from_pylist([record], schema=PACKET_REPORT_SCHEMA)

    def increment(self) -> Increment:
        """Say what the packet took, and whether anything of it got done."""
        got_done = any(outcome.status != "unfinished" for outcome in self.outcomes) if self.outcomes else None
        return Increment(
            got_done=got_done,
            unfinished_reason=None if got_done is not False else self.outcomes[-1].reason,
            stage_seconds={
                stage: getattr(self, f"{stage}_seconds") for stage in ("decode", "separate", "write")
            },
            worker=self.worker,
            peak_bytes=self.peak_bytes,
            stage_peaks={"decode": self.decode_peak_bytes},
        )

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> PacketReport:
        """Make the report again from a row of such a table."""
        outcomes = tuple(
            Outcome(**{**outcome, "loudest": tuple(outcome["loudest"])}) for outcome in record["outcomes"]
        )
        return cls(**{**record, "outcomes": outcomes})


PACKET_REPORT_SCHEMA = schema_of(PacketReport)


def separated_outcome(recording: Recording, rows: RecordingRows) -> Outcome:
    """Sum up a recording that was separated, from its rows of the index."""
    own = rows.own.values()
    stems = [row for row in own if row.kind != "residual"]
    counts = Counter(rows.counts)
    kept = [row for row in stems if row.status == "written"]
    deepest = max((row.group or 0 for row in kept), default=0)
    loudest = sorted(
        (row for row in kept if (row.group or 0) == deepest),
        key=lambda row: row.level_db if row.level_db is not None else float("-inf"),
        reverse=True,
    )
    # Rows of one sound point to one stem, and several spans may lie in one file of it.
    named: list[IndexRow | ActiveSpan] = [*kept, *(span for row in kept for span in row.active_spans)]
    files = {file.stem_uri: file.stem_bytes or 0 for file in named if file.stem_uri is not None}
    facts = rows.common
    return Outcome(
        recording_id=recording.recording_id,
        recording_uri=recording.recording_uri,
        content_tag=recording.content_tag,
        status="separated",
        seconds=(facts.frames or 0) / (facts.sample_rate or 1),
        processing_seconds=facts.processing_seconds or 0.0,
        written=counts["written"],
        silent=counts["silent"],
        explained=counts["explained"],
        absent=counts["absent"],
        unknown=counts["unknown"],
        detected=counts["detected"],
        stem_bytes=sum(files.values()),
        loudest=tuple(row.label for row in loudest[:LOUDEST_STEMS]),
    )


def failed_outcome(
    recording: Recording, *, reason: str, status: OutcomeStatus = "failed", part: int | None = None
) -> Outcome:
    """Sum up a recording, or a span of one, that could not be separated."""
    return Outcome(
        part=part,
        recording_id=recording.recording_id,
        recording_uri=recording.recording_uri,
        content_tag=recording.content_tag,
        status=status,
        reason=printable(without_bare_secrets(" ".join(reason.split()))),
    )
