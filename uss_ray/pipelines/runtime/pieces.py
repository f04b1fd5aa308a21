"""Jobs whose items are the numbered pieces of one result, such as the shards of a pack: what such jobs share."""

from __future__ import annotations

import dataclasses
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import ray

from uss_ray.arrow import schema_of
from uss_ray.errors import DataError, UssRayError
from uss_ray.pipelines.runtime.counters import Increment
from uss_ray.pipelines.runtime.job import Job, LedgerFacts, Summary
from uss_ray.pipelines.runtime.retry import POISON_REASON, STOPPED_REASON
from uss_ray.pipelines.runtime.run_state import is_stopping
from uss_ray.pipelines.runtime.stages import Pass

PIECE_SCHEMA = pa.schema([pa.field("piece", pa.int32(), False)])

S = TypeVar("S", bound=Summary)


@dataclass(frozen=True, kw_only=True)
class PieceReport:
    """What became of a piece.

    Parameters
    ----------
    done, unfinished : int
        One of them is 1.
    items, bytes : int
        In it.
    seconds : float
        That it took.
    reason : str or None
        Why it is not done.
    """

    done: int = 0
    unfinished: int = 0
    items: int = 0
    bytes: int = 0
    seconds: float = 0.0
    reason: str | None = None


REPORT_SCHEMA = schema_of(PieceReport)


@dataclass(frozen=True, kw_only=True)
class PieceSummary:
    """What `summary.json` says of every such run; each job adds what it counts."""

    unfinished: int
    wall_seconds: float
    software_version: str
    started_at: str
    ended_at: str

    def to_json(self) -> str:
        """Write it as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"


class MissingPieces:
    """Lists what is to be made.

    Parameters
    ----------
    run : Pass
    missing : callable
        Gives the numbers from the ledger.
    """

    def __init__(self, run: Pass, missing: Callable[[Any], Sequence[int]]) -> None:
        self._ledger, self._state, self._missing = run.ledger, run.state, missing

    def __call__(self) -> Iterator[pa.Table]:
        """Give the numbers as one table."""
        numbers = self._missing(ray.get(self._ledger))
        ray.get(self._state.add_found.remote(len(numbers)))
        yield pa.table({"piece": numbers}, schema=PIECE_SCHEMA)


class PieceWorker(ABC):
    """The actor that makes pieces.

    Parameters
    ----------
    state : actor handle
        Of `start_run_state`.
    """

    def __init__(self, state: Any) -> None:
        self._state = state

    @abstractmethod
    def make(self, number: int) -> tuple[int, int]:
        """Make a piece and bring it to its place; give the items and the bytes in it."""

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Give a report for each piece."""
        for number in batch["piece"].to_pylist():
            yield pa.Table.from_pylist([dataclasses.asdict(self._report(number))], schema=REPORT_SCHEMA)

    def _report(self, number: int) -> PieceReport:
        if is_stopping(self._state):
            return PieceReport(unfinished=1, reason=STOPPED_REASON)
        began = time.monotonic()
        try:
            items, size = self.make(number)
        except UssRayError as error:
            return PieceReport(unfinished=1, reason=error.reason)
        return PieceReport(done=1, items=items, bytes=size, seconds=time.monotonic() - began)


class PieceJob(Job[S]):
    """A job that makes one result of numbered pieces; without one of them it is none."""

    @staticmethod
    def facts_of(pieces: int, *, missing: Sequence[int]) -> LedgerFacts:
        """Say what the driver takes of a ledger that is the numbers of the missing pieces."""
        return LedgerFacts(earlier=Increment(skipped=pieces - len(missing)), most_actors=len(missing))

    def is_one_by_one(self, run: Pass) -> bool:  # noqa: ARG002
        """See `Job`: a packet is a piece."""
        return True

    def read(self, record: dict[str, Any]) -> Iterator[Increment]:
        """See `Job`."""
        report = PieceReport(**record)
        yield Increment(
            done=report.done,
            unfinished=report.unfinished,
            unfinished_reason=report.reason,
            got_done=bool(report.done),
            amounts={"items": report.items, "bytes": report.bytes},
            stage_seconds={self.stages[-1]: report.seconds},
        )

    def quarantine(self, run: Pass) -> Iterator[Increment]:  # noqa: ARG002
        """See `Job`; nothing is left out."""
        raise DataError(self.source, expected="a result that can be made whole", found=POISON_REASON)
