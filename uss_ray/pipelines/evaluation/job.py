"""Score a list: with Ray, or in this process. Begun or resumed; the same scores either way."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

import ray
import ray.data
import torch

from uss_ray.api.staging import check_apart, check_output, remove_folder
from uss_ray.config import absolute, canonical_json
from uss_ray.errors import DataError
from uss_ray.evaluation.heard import HEARD_FOLDER, choose_heard, sounds_to_keep
from uss_ray.evaluation.request import EvaluationRequest
from uss_ray.evaluation.result import RESULT_NAME, EvaluationResult, environment, make_result
from uss_ray.evaluation.run import (
    ITEMS_FOLDER,
    Evaluator,
    Scored,
    chunk_name,
    open_list,
    read_rows,
    rows_from_parquet,
    rows_to_parquet,
)
from uss_ray.pipelines.runtime.counters import Increment
from uss_ray.pipelines.runtime.identity import RunIdentity, open_run
from uss_ray.pipelines.runtime.job import JobResult, LedgerFacts, RunReport, run_job
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.pieces import PIECE_SCHEMA, MissingPieces, PieceJob, PieceSummary, PieceWorker
from uss_ray.pipelines.runtime.progress import ProgressHook
from uss_ray.pipelines.runtime.stages import Pass, cut_blocks, map_with_actors, run_on_worker
from uss_ray.results.index.table import RunFacts
from uss_ray.store.lease import hold_lease
from uss_ray.store.store import Store

LIST_NAME = "list.parquet"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluationSummary(PieceSummary):
    """What `summary.json` says of a run."""

    chunks: int
    chunks_done: int


def evaluate_here(
    request: EvaluationRequest, *, on_progress: Callable[[float, float | None], None] | None = None
) -> EvaluationResult:
    """Score in this process, without Ray, or go on where an earlier run of the same request ended.

    Parameters
    ----------
    request : EvaluationRequest
    on_progress : callable, optional
        Called with items done and in all.

    Raises
    ------
    UssRayError
        If data, list, weights or queries are wrong, results of another run are in the way, or the output cannot be
        written.
    """
    began, started_at = time.monotonic(), datetime.now(UTC)
    check_output(request.output_store)
    check_apart(request.data_store, request.output_store)
    scored = open_list(request)
    evaluator = Evaluator(request=request, scored=scored)
    evaluator.prepare()
    output = request.output_store
    lost: list[Exception] = []
    with hold_lease(output, job="evaluate", shard=None, on_lost=lost.append):
        open_run(
            RunIdentity.of(request.data, run=_facts(request, evaluator), threads=torch.get_num_threads()),
            output=output,
            results_folder=ITEMS_FOLDER,
            start_over=partial(_start_over, output) if request.overwrite else None,
        )
        (output / LIST_NAME).put(scored.listed.to_parquet())
        reopen_broken(output)
        numbers = missing_chunks(output, chunks=scored.chunks)
        for number, rows in zip(numbers, evaluator.rows_of(map(scored.chunk, numbers)), strict=True):
            if lost:
                raise lost[0]
            (output / chunk_name(number)).put(rows_to_parquet(rows))
            if on_progress is not None:
                done = min(len(scored.items), sum(len(scored.chunk(n)) for n in range(number + 1)))
                on_progress(done, len(scored.items))
        wall = time.monotonic() - began
        made = {
            **environment(),
            "started_at": started_at.isoformat(),
            "wall_seconds": round(wall, 3),
            "seconds": {name: round(value, 3) for name, value in dataclasses.asdict(evaluator.spent).items()},
        }
        return finish(request, scored, evaluator, made)


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
    check_apart(request.data_store, request.output_store)
    request = absolute(request)  # workers may work in other folders
    return run_job(EvaluationJob(request=request), options=options or JobOptions(), on_progress=on_progress)


@dataclass(kw_only=True)
class EvaluationJob(PieceJob[EvaluationSummary]):
    """Scoring of a list; an item of the job is a chunk of it."""

    kind = "evaluate"
    stages = ("list", "score")
    results_folder = ITEMS_FOLDER

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
            return scored, _facts(request, evaluator)

        scored, facts = run_on_worker(look, tells=self.tells)
        self._chunks = scored.chunks
        self._list = ray.put(scored)
        return facts

    def start_over(self) -> None:
        """See `Job`."""
        _start_over(self.output)

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


def missing_chunks(output: Store, *, chunks: int) -> list[int]:
    """Name the chunks that are not done, in order."""
    folder = output / ITEMS_FOLDER
    done = {found.place.name for found in folder.files()} if folder.exists() else set()
    return [number for number in range(chunks) if chunk_name(number).rpartition("/")[2] not in done]


def reopen_broken(output: Store) -> None:
    """Remove the chunks that a run cannot keep, so that it does them again: damaged ones, and such with broken items.

    Whatever broke an item may have been mended since; a chunk is a small part of a list.
    """
    folder = output / ITEMS_FOLDER
    for place in [found.place for found in folder.files()] if folder.exists() else []:
        try:
            broken = {
                row.item_id for row in rows_from_parquet(place.read(), item=str(place)) if row.is_broken
            }
        except DataError as error:
            logger.warning("%s: it is scored again", error)
            place.remove()
            continue
        if broken:
            logger.warning("%s: scored again, for %d items were broken", place, len(broken))
            place.remove()


def finish(
    request: EvaluationRequest, scored: Scored, evaluator: Evaluator, made: dict[str, Any]
) -> EvaluationResult:
    """Sum the rows up, and write the result; of three targets the sound."""
    weights, rows = evaluator.weights, read_rows(request.output_store)
    heard = choose_heard(rows)
    for name, content in sounds_to_keep(heard, rows, evaluator):
        (request.output_store / name).put(content)
    result = make_result(
        rows,
        request=request,
        scored=scored,
        card=evaluator.benchmark.card,
        weights=(weights.name, weights.sha256),
        made=made,
    ).replace(heard=heard, not_measured=evaluator.not_measured)
    (request.output_store / RESULT_NAME).put(result.to_json().encode())
    return result


def _facts(request: EvaluationRequest, evaluator: Evaluator) -> RunFacts:
    scored, weights = evaluator.scored, evaluator.weights
    train = None if scored.train is None else scored.train.sha256
    described = request.described(list_sha256=scored.listed.sha256, train_sha256=train)
    if scored.missing:  # other items make other chunks: what is there has to be there still
        names = "\n".join(item.item_id for item in scored.items)
        described["items_sha256"] = hashlib.sha256(names.encode()).hexdigest()
    return RunFacts(
        run_id=request.run_id(described, weights_sha256=weights.sha256),
        weights_name=weights.name,
        weights_sha256=weights.sha256,
        settings=canonical_json(described),
    )


def _start_over(output: Store) -> None:
    for name in (RESULT_NAME, LIST_NAME):
        (output / name).remove()
    for folder in (ITEMS_FOLDER, HEARD_FOLDER):
        remove_folder(output, folder)
