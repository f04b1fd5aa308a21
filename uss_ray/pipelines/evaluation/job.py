"""Score a list with Ray; begun or resumed, to the same scores as in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import ray
import ray.data
import torch

from uss_ray.api.staging import check_apart, check_output
from uss_ray.config import absolute
from uss_ray.evaluation.request import EvaluationRequest
from uss_ray.evaluation.result import environment
from uss_ray.evaluation.rows import chunk_name, rows_to_parquet
from uss_ray.evaluation.run import Evaluator, Scored, open_list
from uss_ray.pipelines.evaluation.local import (
    LIST_NAME,
    OWNED,
    finish,
    missing_chunks,
    reopen_broken,
    run_facts,
)
from uss_ray.pipelines.runtime.counters import Increment
from uss_ray.pipelines.runtime.job import JobResult, LedgerFacts, RunReport, run_job
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.pieces import PIECE_SCHEMA, MissingPieces, PieceJob, PieceSummary, PieceWorker
from uss_ray.pipelines.runtime.progress import ProgressHook
from uss_ray.pipelines.runtime.stages import Pass, cut_blocks, map_with_actors, run_on_worker
from uss_ray.results.index.table import RunFacts


@dataclass(frozen=True, kw_only=True)
class EvaluationSummary(PieceSummary):
    """What `summary.json` says of a run."""

    chunks: int
    chunks_done: int


def evaluate_archive(
    request: EvaluationRequest, *, options: JobOptions | None = None, on_progress: ProgressHook | None = None
) -> JobResult[EvaluationSummary]:
    """Score with Ray, or go on where an earlier run of the same request ended; errors as of `evaluate_here`.

    Parameters
    ----------
    request : EvaluationRequest
    options : JobOptions, optional
        How the job runs.
    on_progress : callable, optional
        Called as chunks are done.
    """
    check_output(request.output_store)
    check_apart(request.data_store, request.output_store, folders=OWNED.folders)
    request = absolute(request)  # workers may work in other folders
    return run_job(EvaluationJob(request=request), options=options or JobOptions(), on_progress=on_progress)


@dataclass(kw_only=True)
class EvaluationJob(PieceJob[EvaluationSummary]):
    """Scoring of a list; an item of the job is a chunk of it."""

    kind = "evaluate"
    stages = ("list", "score")
    owned = OWNED

    request: EvaluationRequest
    _chunks: int = field(default=0)
    _list: Any = field(default=None)
    _has_begun: bool = field(default=False)

    @property
    def source(self) -> str:
        """See `Job`."""
        return self.request.data

    def facts(self) -> RunFacts:
        """See `Job`; what cannot be asked is refused here."""
        request = self.request

        def look() -> tuple[Scored, RunFacts]:
            scored = open_list(request)
            evaluator = Evaluator(request=request, scored=scored)
            evaluator.prepare()
            return scored, run_facts(request, evaluator)

        scored, facts = run_on_worker(look, tells=self.tells)
        self._chunks = scored.chunks
        self._list = ray.put(scored)
        return facts

    def ledger_reader(self) -> Callable[[], tuple[Any, LedgerFacts]]:
        """See `Job`; the ledger is which chunks are missing."""
        output, chunks, is_first = self.output, self._chunks, not self._has_begun
        self._has_begun = True

        def read() -> tuple[list[int], LedgerFacts]:
            if is_first:
                reopen_broken(output)
            missing = missing_chunks(output, chunks=chunks)
            return missing, PieceJob.facts_of(chunks, missing=missing)

        return read

    def pipeline(self, run: Pass) -> ray.data.Dataset:
        """Stream the numbers of missing chunks; actors score them."""
        numbers = run.read([MissingPieces(run, list)], schema=PIECE_SCHEMA, name="Chunks")
        return map_with_actors(
            cut_blocks(numbers, rows_at_a_time=1),
            ScoreChunks,
            pool=run.pool,
            state=run.state,
            is_isolated=run.is_isolated,
            request=self.request,
            threads=run.pool.threads,
            scored=[self._list],
        )

    def finalise(self, *, is_complete: bool) -> Iterator[Increment]:
        """See `Job`; the rows become the result."""
        if is_complete:
            request, held = self.request, self._list

            def sum_up() -> None:
                scored: Scored = ray.get(held)
                (request.output_store / LIST_NAME).put(scored.listed.to_parquet())
                finish(request, scored, Evaluator(request=request, scored=scored), environment())

            run_on_worker(sum_up, tells=self.tells)
        yield from ()

    def summary(self, report: RunReport) -> EvaluationSummary:
        """See `Job`."""
        return EvaluationSummary(
            chunks=self._chunks,
            chunks_done=report.counters.done,
            unfinished=report.counters.unfinished,
            wall_seconds=report.wall_seconds,
            software_version=version("uss-ray"),
            started_at=report.started_at.isoformat(),
            ended_at=report.ended_at.isoformat(),
        )


class ScoreChunks(PieceWorker):
    """The actor: loads the weights once, and scores chunks."""

    def __init__(self, request: EvaluationRequest, threads: int, scored: list[Any], state: Any) -> None:
        super().__init__(state)
        torch.set_num_threads(threads)
        self._scored: Scored = ray.get(scored[0])
        self._evaluator = Evaluator(request=request, scored=self._scored)
        self._output = request.output_store

    def make(self, number: int) -> tuple[int, int]:
        """See `PieceWorker`."""
        items = self._scored.chunk(number)
        data = rows_to_parquet(self._evaluator.rows(items))
        (self._output / chunk_name(number)).put(data)
        return len(items), len(data)
