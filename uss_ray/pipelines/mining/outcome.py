"""What is told of a packet to whoever started the job: one small row, whatever was mined."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from uss_ray.arrow import schema_of
from uss_ray.pipelines.runtime.counters import Increment

STAGES = ("decode", "mine", "write")
"""Whose busy time is told, in the order of the pipeline."""


@dataclass(frozen=True, kw_only=True)
class MiningReport:
    """What became of the clips of one packet, and what it took.

    Parameters
    ----------
    mined, failed, unfinished : int
        Clips: done, unreadable, or kept from being done by a store, a disk or a stop.
    anchors, anchor_bytes : int
        Of the shard.
    audio_seconds : float
        Length of the clips that were mined.
    failures : tuple of str
        Reasons, one for each clip that failed.
    reason : str or None
        Why clips are unfinished.
    containers : tuple of str
        Containers that are broken, each with its reason.
    worker : str
        Who did it.
    decode_seconds, mine_seconds, write_seconds : float
        Time in each stage.
    peak_bytes : int
        Most memory that the worker has taken so far.
    """

    mined: int = 0
    failed: int = 0
    unfinished: int = 0
    anchors: int = 0
    anchor_bytes: int = 0
    audio_seconds: float = 0.0
    failures: tuple[str, ...] = ()
    reason: str | None = None
    containers: tuple[str, ...] = ()
    worker: str = ""
    decode_seconds: float = 0.0
    mine_seconds: float = 0.0
    write_seconds: float = 0.0
    peak_bytes: int = 0

    def to_table(self) -> pa.Table:
        """Turn the report into a table of one row of `MINING_REPORT_SCHEMA`."""
        return pa.Table.from_pylist([asdict(self)], schema=MINING_REPORT_SCHEMA)

    def increment(self) -> Increment:
        """Say what the packet adds to the counters."""
        has_clips = bool(self.mined or self.failed or self.unfinished)
        return Increment(
            done=self.mined,
            failed=self.failed,
            unfinished=self.unfinished,
            failures=Counter(self.failures),
            unfinished_reason=self.reason,
            got_done=bool(self.mined or self.failed) if has_clips else None,
            audio_seconds=self.audio_seconds,
            amounts={"anchors": self.anchors, "anchor_bytes": self.anchor_bytes},
            stage_seconds={stage: getattr(self, f"{stage}_seconds") for stage in STAGES},
            worker=self.worker,
            peak_bytes=self.peak_bytes,
        )

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> MiningReport:
        """Make the report again from a row of such a table."""
        lists = {name: tuple(record[name]) for name in ("failures", "containers")}
        return cls(**{**record, **lists})


MINING_REPORT_SCHEMA = schema_of(MiningReport)
