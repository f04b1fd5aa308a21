"""Pack mined anchors for training with Ray; begun or resumed, to the same bytes as in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import ray
import ray.data

from uss_ray.anchors.pack_plan import PackPlan
from uss_ray.anchors.packed import PACK_NAME, PackManifest, missing_shards, write_packed_shard
from uss_ray.anchors.stream import AnchorShards
from uss_ray.config import absolute
from uss_ray.pipelines.runtime.counters import Increment
from uss_ray.pipelines.runtime.job import JobResult, LedgerFacts, RunReport, run_job
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.pieces import PIECE_SCHEMA, MissingPieces, PieceJob, PieceSummary, PieceWorker
from uss_ray.pipelines.runtime.progress import ProgressHook
from uss_ray.pipelines.runtime.stages import Pass, cut_blocks, map_with_actors, run_on_worker
from uss_ray.pipelines.training.pack_request import PackRequest
from uss_ray.pipelines.training.packing import OWNED, check_places, finish, plan_of, run_facts
from uss_ray.results.index.table import RunFacts
from uss_ray.version import VERSION


@dataclass(frozen=True, kw_only=True)
class PackSummary(PieceSummary):
    """What `summary.json` says of a packing run."""

    anchors: int
    shards: int
    shards_written: int
    bytes_written: int


def pack_anchors(
    request: PackRequest, *, options: JobOptions | None = None, on_progress: ProgressHook | None = None
) -> JobResult[PackSummary]:
    """Pack with Ray, or go on where an earlier run of the same request ended.

    Parameters
    ----------
    request : PackRequest
    options : JobOptions, optional
        How the job runs.
    on_progress : callable, optional
        Called as shards are written.

    Raises
    ------
    UssRayError
        If there are no finished anchors, another pack is in the way, or the output cannot be written.
    """
    check_places(request)
    return run_job(
        PackJob(request=absolute(request)),  # workers may work in other folders
        options=options or JobOptions(),
        on_progress=on_progress,
    )


@dataclass(kw_only=True)
class PackJob(PieceJob[PackSummary]):
    """Packing of anchors; an item is a shard of the pack."""

    kind = "pack"
    stages = ("list", "pack")
    owned = OWNED

    request: PackRequest
    _manifest: PackManifest | None = field(default=None)

    @property
    def source(self) -> str:
        """See `Job`."""
        return self.request.anchors

    def facts(self) -> RunFacts:
        """See `Job`."""
        return run_facts(self.request, AnchorShards(self.request.anchor_store))

    def ledger_reader(self) -> Callable[[], tuple[Any, LedgerFacts]]:
        """See `Job`; the ledger is the plan and which of its shards are missing."""
        request = self.request

        def read() -> tuple[tuple[PackPlan, list[int]], LedgerFacts]:
            plan = plan_of(request, AnchorShards(request.anchor_store))
            is_finished = (request.output_store / PACK_NAME).exists()
            missing = [] if is_finished else list(missing_shards(request.output_store, shards=len(plan)))
            return (plan, missing), PieceJob.facts_of(len(plan), missing=missing)

        return read

    def pipeline(self, run: Pass) -> ray.data.Dataset:
        """Stream the numbers of missing shards; actors write them."""
        shards = run.read([MissingPieces(run, itemgetter(1))], schema=PIECE_SCHEMA, name="Shards")
        return map_with_actors(
            cut_blocks(shards, rows_at_a_time=1),  # what comes as one block goes to one actor
            PackShards,
            pool=run.pool,
            state=run.state,
            is_isolated=run.is_isolated,
            request=self.request,
            ledger=[run.ledger],
        )

    def finalise(self, *, is_complete: bool) -> Iterator[Increment]:
        """See `Job`; the parts become one catalogue."""
        if is_complete:
            request = self.request

            def sum_up() -> PackManifest:
                source = AnchorShards(request.anchor_store)
                return finish(request, source, shards=len(plan_of(request, source)))

            self._manifest = run_on_worker(sum_up, tells=self.tells)
        yield from ()

    def summary(self, report: RunReport) -> PackSummary:
        """See `Job`."""
        counters, manifest = report.counters, self._manifest
        return PackSummary(
            anchors=0 if manifest is None else manifest.anchors,
            shards=0 if manifest is None else len(manifest.shards),
            shards_written=counters.done,
            unfinished=counters.unfinished,
            bytes_written=int(counters.amounts["bytes"]),
            wall_seconds=report.wall_seconds,
            software_version=VERSION,
            started_at=report.started_at.isoformat(),
            ended_at=report.ended_at.isoformat(),
        )


class PackShards(PieceWorker):
    """The actor: writes shards of the pack."""

    def __init__(self, request: PackRequest, ledger: list[Any], state: Any) -> None:
        super().__init__(state)
        self._plan: PackPlan = ray.get(ledger[0])[0]
        self._source = AnchorShards(request.anchor_store)
        self._output = request.output_store

    def make(self, number: int) -> tuple[int, int]:
        """See `PieceWorker`."""
        facts = write_packed_shard(self._source, self._plan.shard(number), pack=self._output)
        return facts.rows, facts.bytes
