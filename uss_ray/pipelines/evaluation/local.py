"""Score a list in this process, without Ray; begun or resumed, to the same scores as with Ray."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import torch
from pydantic import Field

from uss_ray.api.owned import Owned
from uss_ray.api.staging import check_apart, check_output
from uss_ray.config import Settings, canonical_json, parse_json
from uss_ray.errors import DataError
from uss_ray.evaluation.heard import HEARD_FOLDER, KINDS, choose_heard, sounds_to_keep
from uss_ray.evaluation.request import EvaluationRequest
from uss_ray.evaluation.result import RESULT_NAME, EvaluationResult, environment, make_result
from uss_ray.evaluation.rows import ITEMS_FOLDER, chunk_name, read_rows, rows_from_parquet, rows_to_parquet
from uss_ray.evaluation.run import Evaluator, Scored, Spent, open_list
from uss_ray.pipelines.runtime.identity import RunIdentity, open_run
from uss_ray.results.index.table import RunFacts
from uss_ray.store.lease import hold_lease
from uss_ray.store.store import Store

LIST_NAME = "list.parquet"
TIMES_FOLDER = "times"

OWNED: Final = Owned(
    {
        ITEMS_FOLDER: re.compile(r"\d{6,}\.parquet"),
        TIMES_FOLDER: re.compile(r"\d{6,}\.json"),
        HEARD_FOLDER: re.compile(rf"\w+-({'|'.join(KINDS)})\.flac"),
    },
    files=(RESULT_NAME, LIST_NAME),
)
"""What a run writes."""

logger = logging.getLogger(__name__)


class ChunkTimes(Settings):
    """What a chunk has taken, kept beside it: a run may go on in many processes."""

    started_at: datetime = Field(description="When the process began.")
    wall_seconds: float = Field(description="Since then, or since the chunk before.")
    seconds: dict[str, float] = Field(description="By what they went into.")

    @classmethod
    def between(cls, then: Spent, now: Spent, *, wall: float, started_at: datetime) -> ChunkTimes:
        """Give what was spent between two looks."""
        before = dataclasses.asdict(then)
        return cls(
            started_at=started_at,
            wall_seconds=wall,
            seconds={name: value - before[name] for name, value in dataclasses.asdict(now).items()},
        )


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
    check_apart(request.data_store, request.output_store, folders=OWNED.folders)
    scored = open_list(request)
    evaluator = Evaluator(request=request, scored=scored)
    evaluator.prepare()
    output = request.output_store
    lost: list[Exception] = []
    with hold_lease(output, job="evaluate", shard=None, on_lost=lost.append):
        open_run(
            RunIdentity.of(request.data, run=run_facts(request, evaluator), threads=torch.get_num_threads()),
            output=output,
            owned=OWNED,
            overwrite=request.overwrite,
        )
        (output / LIST_NAME).put(scored.listed.to_parquet())
        reopen_broken(output)
        numbers = missing_chunks(output, chunks=scored.chunks)
        spent = dataclasses.replace(evaluator.spent)
        for number, rows in zip(numbers, evaluator.rows_of(map(scored.chunk, numbers)), strict=True):
            if lost:
                raise lost[0]
            now = time.monotonic()
            taken = ChunkTimes.between(spent, evaluator.spent, wall=now - began, started_at=started_at)
            began, spent = now, dataclasses.replace(evaluator.spent)
            (output / times_name(number)).put(taken.model_dump_json().encode())
            (output / chunk_name(number)).put(rows_to_parquet(rows))
            if on_progress is not None:
                done = min(len(scored.items), sum(len(scored.chunk(n)) for n in range(number + 1)))
                on_progress(done, len(scored.items))
        made = environment() | times_of(output, chunks=scored.chunks)
        return finish(request, scored, evaluator, made)


def missing_chunks(output: Store, *, chunks: int) -> list[int]:
    """Name the chunks that are not done, in order."""
    folder = output / ITEMS_FOLDER
    done = {found.place.name for found in folder.files()} if folder.exists() else set()
    return [number for number in range(chunks) if chunk_name(number).rpartition("/")[2] not in done]


def times_name(number: int) -> str:
    """Name the file of what a chunk has taken, below the folder of the run."""
    return f"{TIMES_FOLDER}/{number:06d}.json"


def times_of(output: Store, *, chunks: int) -> dict[str, Any]:
    """Say when a run began and what its chunks have taken, whoever did them; nothing where it is not known of all."""
    folder = (output / TIMES_FOLDER).raising(DataError)
    try:
        kept = [
            parse_json(place.read(), ChunkTimes, item=str(place))
            for place in (folder.parent / times_name(number) for number in range(chunks))
        ]
    except DataError as error:  # workers of Ray keep none: they work beside each other
        logger.info("%s: what the run has taken is not told", error)
        return {}
    names = dataclasses.asdict(Spent())
    if any(names.keys() - one.seconds.keys() for one in kept):  # kept by another version
        return {}
    return {
        "started_at": min(one.started_at for one in kept).isoformat(),
        "wall_seconds": round(sum(one.wall_seconds for one in kept), 3),
        "seconds": {name: round(sum(one.seconds[name] for one in kept), 3) for name in names},
    }


def reopen_broken(output: Store) -> None:
    """Remove the chunks that a run cannot keep, so that it does them again: damaged ones, and such with broken items.

    Whatever broke an item may have been mended since; a chunk is a small part of a list.
    """
    folder = output / ITEMS_FOLDER
    for place in [found.place for found in folder.files()] if folder.exists() else []:
        if not OWNED.has(place.relative_to(output)):
            continue
        try:
            broken = {
                row.item_id for row in rows_from_parquet(place.read(), item=str(place)) if row.is_broken
            }
        except DataError as error:
            logger.warning("%s: it is scored again", error)
        else:
            if not broken:
                continue
            logger.warning("%s: scored again, for %d items were broken", place, len(broken))
        place.remove()
        (output / TIMES_FOLDER / place.name.replace(".parquet", ".json")).remove()


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


def run_facts(request: EvaluationRequest, evaluator: Evaluator) -> RunFacts:
    """Tell what the rows of a run depend on."""
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
