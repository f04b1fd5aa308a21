"""The archive job: list, separate with a fixed pool of warm actors on Ray Data, tell what became of each recording.

Stems, reports and index rows are written by the workers; one small row a recording comes back. A recording that
cannot be separated is a row with its reason, and never stops the job.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.data
import torch
from ray.exceptions import RayError
from ray.util.annotations import RayDeprecationWarning

from uss_ray.errors import ConfigError, OutputError, UssRayError
from uss_ray.ontology.vocabulary import TextMatch
from uss_ray.pipelines.listing import Recording, list_recordings
from uss_ray.pipelines.outcome import Outcome, failed_outcome, separated_outcome
from uss_ray.pipelines.request import SeparationRequest
from uss_ray.pipelines.runtime import WorkerPool, plan_pool, ray_session
from uss_ray.pipelines.separate_one import RecordingSeparator
from uss_ray.pipelines.staging import staging_folder
from uss_ray.results.layout import INDEX_FOLDER
from uss_ray.storage import uri

logger = logging.getLogger(__name__)

_ROWS_PER_BLOCK = 8  # recordings that travel to a worker together, when there are many
_TASK_RETRIES = 2

OutcomeHook = Callable[[Outcome, int], None]
"""Called with (what became of a recording, recordings in all) as each is done."""


@dataclass(frozen=True, kw_only=True)
class ArchiveResult:
    """What became of an archive.

    Parameters
    ----------
    output : str
        Output root.
    outcomes : tuple of Outcome
        One a recording, in the order of the listing.
    matches : tuple of (str, TextMatch)
        Each free text and what it was resolved to.
    """

    output: str
    outcomes: tuple[Outcome, ...]
    matches: tuple[tuple[str, TextMatch], ...] = ()

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Those that could not be separated."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")

    @property
    def exit_code(self) -> int:
        """0 if every recording was separated, 8 if some were not, 9 if none was."""
        if not self.failed:
            return 0
        return 9 if len(self.failed) == len(self.outcomes) else 8


def separate_archive(
    archive: str,
    *,
    request: SeparationRequest,
    actors: int | None = None,
    address: str | None = None,
    on_outcome: OutcomeHook | None = None,
) -> ArchiveResult:
    """Separate every recording of an archive.

    Parameters
    ----------
    archive : str
        A folder or a prefix of an object store.
    request : SeparationRequest
        What to do with each recording, and where the results go.
    actors : int or None, default=None
        Workers; None takes one a GPU, or one for each two CPUs.
    address : str or None, default=None
        Ray cluster; None takes `RAY_ADDRESS`, or starts a local Ray.
    on_outcome : callable, optional
        Called as each recording is done.

    Returns
    -------
    ArchiveResult
        What became of each recording.

    Raises
    ------
    UssRayError
        If the archive is empty, results of an earlier run are in the way, the output cannot be written, or
        weights, query or settings are wrong. A bad recording raises nothing.
    """
    matches = check_request(request)
    recordings = list(list_recordings(archive))
    # Around the Ray session, so that the workers are gone when what they may have left is removed.
    with staging_folder(request.output) as scratch, ray_session(address):
        pool = plan_pool(recordings=len(recordings), actors=actors)
        # The index tells what is there; a worker that is tried again must be free to replace its own results.
        outcomes = _run(
            recordings,
            request=replace(request, overwrite=True),
            pool=pool,
            scratch=scratch,
            on_outcome=on_outcome,
        )
    return ArchiveResult(output=request.output, outcomes=outcomes, matches=matches)


def check_request(request: SeparationRequest) -> tuple[tuple[str, TextMatch], ...]:
    """Find a mistake in the request before any worker is started, by doing what the workers will do first.

    Returns
    -------
    tuple of (str, TextMatch)
        Each free text and what it was resolved to.

    Raises
    ------
    UssRayError
        See `separate_archive`.
    """
    index = uri.join(request.output, INDEX_FOLDER)
    if not request.overwrite and uri.exists(index):
        raise OutputError(
            request.output, expected="no results yet (or --overwrite)", found="the index of an earlier run"
        )
    matches = RecordingSeparator(replace(request, device="cpu")).matches
    with staging_folder(request.output):  # an output that cannot be written shows here
        return matches


class SeparateRecordings:
    """The warm actor: loads the weights once, then separates the recordings of each batch.

    Parameters
    ----------
    request : SeparationRequest
        What to do with each of them.
    threads : int
        CPU threads of the networks.
    scratch : Path
        Staging folder of the job.
    """

    def __init__(self, request: SeparationRequest, threads: int, scratch: Path) -> None:
        torch.set_num_threads(threads)
        self._separator = RecordingSeparator(request, scratch=scratch)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Give one row of `OUTCOME_SCHEMA` for each row that comes in, in order."""
        for row in batch.select(["recording_uri", "recording_id"]).to_pylist():
            yield self._outcome(Recording(**row)).to_table()

    def _outcome(self, recording: Recording) -> Outcome:
        try:
            return separated_outcome(self._separator.separate(recording))
        except UssRayError as error:
            reason = error.reason
        except Exception as error:
            logger.exception("%s: unexpected error", recording.recording_uri)
            reason = f"unexpected {type(error).__name__}: {error}"
        try:
            self._separator.commit_failure(recording, reason=reason)
        except UssRayError as error:
            reason = f"{reason}; and its index row: {error.reason}"
        return failed_outcome(recording, reason=reason)


def _run(
    recordings: Sequence[Recording],
    *,
    request: SeparationRequest,
    pool: WorkerPool,
    scratch: Path,
    on_outcome: OutcomeHook | None,
) -> tuple[Outcome, ...]:
    _set_up_ray_data()
    rows_per_block = min(_ROWS_PER_BLOCK, max(1, len(recordings) // (4 * pool.actors)))
    done: dict[int, Outcome] = {}
    try:
        manifest = ray.data.from_arrow(_manifest(recordings, rows_per_block=rows_per_block))
        for row in _map_with_actors(
            manifest, request=request, pool=pool, scratch=scratch, batch_size=rows_per_block
        ).iter_rows():
            outcome = Outcome.from_record(row)
            done[outcome.recording_key] = outcome
            if on_outcome is not None:
                on_outcome(outcome, len(recordings))
    except RayError as error:
        raise _own_error(error) from error
    for recording in recordings:
        if recording.recording_key not in done:
            lost = failed_outcome(recording, reason="its worker died each time it was tried")
            done[recording.recording_key] = lost
            if on_outcome is not None:
                on_outcome(lost, len(recordings))
    return tuple(done[recording.recording_key] for recording in recordings)


def _manifest(recordings: Sequence[Recording], *, rows_per_block: int) -> list[pa.Table]:
    """One table a block: what a worker gets at a time."""
    rows = [{"recording_key": recording.recording_key, **asdict(recording)} for recording in recordings]
    return [
        pa.Table.from_pylist(rows[start : start + rows_per_block])
        for start in range(0, len(rows), rows_per_block)
    ]


def _map_with_actors(
    manifest: ray.data.Dataset,
    *,
    request: SeparationRequest,
    pool: WorkerPool,
    scratch: Path,
    batch_size: int,
) -> ray.data.Dataset:
    """Put the pool of actors behind a manifest; they come back from a crash, and try a batch again twice."""
    resources: dict[str, Any] = {"num_cpus": pool.cpus_per_actor}
    if pool.gpus_per_actor:
        resources = {"num_cpus": 1, "num_gpus": pool.gpus_per_actor}
    with warnings.catch_warnings():
        # Ray 2.60 deprecates the two restart arguments and has no others yet; without them it restarts for ever.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        return manifest.map_batches(
            SeparateRecordings,
            fn_constructor_args=(request, pool.cpus_per_actor, scratch),
            batch_size=batch_size,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=pool.actors),
            max_restarts=-1,
            max_task_retries=_TASK_RETRIES,
            **resources,
        )


def _set_up_ray_data() -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = (
        -1
    )  # a recording that kills its worker each time costs its block, not the job
    context.execution_options.preserve_order = False
    context.execution_options.verbose_progress = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _own_error(error: RayError) -> UssRayError:
    """Find the error of ours in what Ray wraps it into."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UssRayError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    first_line = next(
        (line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__
    )
    return ConfigError("archive job", expected="workers that start and stay", found=first_line.strip())
