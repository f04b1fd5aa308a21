"""Pack mined anchors for training: with Ray, or in this process. Begun or resumed; the same bytes either way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any

import ray
import ray.data

from uss_ray.anchors.manifest import MANIFEST_NAME
from uss_ray.anchors.pack_plan import PackPlan, plan_pack
from uss_ray.anchors.packed import (
    PACK_NAME,
    PART_FOLDER,
    SHARD_FOLDER,
    PackManifest,
    finish_pack,
    missing_shards,
    read_pack_manifest,
    write_packed_shard,
)
from uss_ray.anchors.stream import AnchorShards
from uss_ray.api.staging import check_apart, check_output, remove_folder
from uss_ray.config import absolute, canonical_json
from uss_ray.errors import DataError
from uss_ray.pipelines.runtime.counters import Increment
from uss_ray.pipelines.runtime.identity import RunIdentity, end_overwriting, open_run
from uss_ray.pipelines.runtime.job import JobResult, LedgerFacts, RunReport, run_job
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.pieces import PIECE_SCHEMA, MissingPieces, PieceJob, PieceSummary, PieceWorker
from uss_ray.pipelines.runtime.progress import ProgressHook
from uss_ray.pipelines.runtime.stages import Pass, cut_blocks, map_with_actors, run_on_worker
from uss_ray.pipelines.training.pack_request import PackRequest
from uss_ray.results.index.table import RunFacts
from uss_ray.store.lease import hold_lease
from uss_ray.store.store import Store
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
    _check(request)
    return run_job(
        PackJob(request=absolute(request)),  # workers may work in other folders
        options=options or JobOptions(),
        on_progress=on_progress,
    )


def pack_here(
    request: PackRequest, *, on_progress: Callable[[float, float | None], None] | None = None
) -> PackManifest:
    """Pack in this process, without Ray; as `pack_anchors`."""
    _check(request)
    source, output = AnchorShards(request.anchor_store), request.output_store
    lost: list[Exception] = []
    with hold_lease(output, job="pack", shard=None, on_lost=lost.append):
        open_run(
            RunIdentity.of(request.anchors, run=_facts(request, source), threads=1),
            output=output,
            results_folder=PART_FOLDER,
            start_over=partial(_start_over, output) if request.overwrite else None,
        )
        plan = _plan(request, source)
        missing = [] if (output / PACK_NAME).exists() else missing_shards(output, shards=len(plan))
        for done, number in enumerate(missing, start=len(plan) - len(missing)):
            if lost:
                raise lost[0]
            write_packed_shard(source, plan.shard(number), pack=output)
            if on_progress is not None:
                on_progress(done + 1, len(plan))
        manifest = _finish(request, source, shards=len(plan))
        end_overwriting(output)
        return manifest


@dataclass(kw_only=True)
class PackJob(PieceJob[PackSummary]):
    """Packing of anchors; an item is a shard of the pack."""

    kind = "pack"
    stages = ("list", "pack")
    results_folder = PART_FOLDER

    request: PackRequest
    _manifest: PackManifest | None = field(default=None)

    @property
    def source(self) -> str:
        """See `Job`."""
        return self.request.anchors

    def facts(self) -> RunFacts:
        """See `Job`."""
        return _facts(self.request, AnchorShards(self.request.anchor_store))

    def start_over(self) -> None:
        """See `Job`."""
        _start_over(self.output)

    def ledger_reader(self) -> Callable[[], tuple[Any, LedgerFacts]]:
        """See `Job`; the ledger is the plan and which of its shards are missing."""
        request = self.request

        def read() -> tuple[tuple[PackPlan, list[int]], LedgerFacts]:
            plan = _plan(request, AnchorShards(request.anchor_store))
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

            def finish() -> PackManifest:
                source = AnchorShards(request.anchor_store)
                return _finish(request, source, shards=len(_plan(request, source)))

            self._manifest = run_on_worker(finish, tells=self.tells)
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


def _check(request: PackRequest) -> None:
    check_output(request.output_store)
    check_apart(request.anchor_store, request.output_store)
    if not (request.anchor_store / MANIFEST_NAME).exists():
        raise DataError(request.anchors, expected="a finished mining run", found=f"no {MANIFEST_NAME}")


def _facts(request: PackRequest, source: AnchorShards) -> RunFacts:
    manifest = source.manifest
    assert manifest is not None
    shards = "\n".join(f"{shard.name} {shard.sha256}" for shard in manifest.shards)
    settings = {
        "anchors_sha256": hashlib.sha256(shards.encode()).hexdigest(),
        **request.model_dump(mode="json", include={"shard_mebibytes", "seed"}),
    }
    text = canonical_json(settings)
    return RunFacts(
        run_id=hashlib.sha256(text.encode()).hexdigest()[:16],
        weights_name=manifest.weights_name,
        weights_sha256=manifest.weights_sha256,
        settings=text,
    )


def _plan(request: PackRequest, source: AnchorShards) -> PackPlan:
    return plan_pack(source.row_groups(), seed=request.seed, shard_bytes=request.shard_mebibytes << 20)


def _finish(request: PackRequest, source: AnchorShards, *, shards: int) -> PackManifest:
    output = request.output_store
    if (output / PACK_NAME).exists():
        return read_pack_manifest(output.raising(DataError))
    manifest = finish_pack(output, shards=shards, source=source, seed=request.seed)
    remove_folder(output, PART_FOLDER)
    return manifest


def _start_over(output: Store) -> None:
    (output / PACK_NAME).remove()
    for folder in (PART_FOLDER, SHARD_FOLDER):
        remove_folder(output, folder)
