"""The archive job, from its request to its summary: begins or resumes a run, drives the pipeline, tells how it ended.

Stems, reports and index rows are written by the workers; thin rows come back, and only sums are kept of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray

from uss_ray.api.publisher import index_name
from uss_ray.api.request import SeparationRequest
from uss_ray.api.separator import RecordingSeparator
from uss_ray.api.staging import check_output, staging_folder, sweep_staging
from uss_ray.errors import UssRayError
from uss_ray.ontology.vocabulary import TextMatch
from uss_ray.pipelines.archive.cleaning import forget_done_parts, start_over
from uss_ray.pipelines.archive.ledger import FAILED_PREFIX, Ledger, read_ledger, settle_failures
from uss_ray.pipelines.archive.long_recordings import LongRecordings
from uss_ray.pipelines.archive.missing import missing_recordings
from uss_ray.pipelines.archive.outcome import Outcome, PacketReport, failed_outcome
from uss_ray.pipelines.archive.separate import MakeSeparator
from uss_ray.pipelines.archive.stages import Grain, packet_reports
from uss_ray.pipelines.archive.tally import Tally
from uss_ray.pipelines.runtime.cluster import WorkerPool, most_decoders, plan_pool, ray_session
from uss_ray.pipelines.runtime.identity import RunIdentity, open_run
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.passes import Passes
from uss_ray.pipelines.runtime.progress import Progress, ProgressHook
from uss_ray.pipelines.runtime.run_state import start_run_state
from uss_ray.pipelines.runtime.stages import iterate_tables, set_up_ray_data
from uss_ray.pipelines.runtime.stopping import stop_on_signals
from uss_ray.records import INDEX_FOLDER, Recording
from uss_ray.results.run_summary import RecordingCounts, RunSummary, StageSummary
from uss_ray.sources.listing import Listing, open_listing
from uss_ray.store.store import Store

logger = logging.getLogger(__name__)

_FEW = 256  # recordings that are counted before the work begins, to share out a small archive well
_JUDGED = 100  # recordings that must be finished before too many failures stop a run
_CRASHED = "its worker died each time it was tried"


@dataclass(frozen=True, kw_only=True)
class ArchiveResult:
    """How a run ended.

    Parameters
    ----------
    output : str
        Output root.
    tally : Tally
        Sums of this run.
    skipped : int
        Recordings that an earlier run had done.
    summary : RunSummary
        As in `summary.json`.
    matches : tuple of (str, TextMatch)
        Each free text and what it was resolved to.
    max_failed_fraction : float
        See `JobOptions`.
    signal_number : int or None
        What stopped the run.
    """

    output: str
    tally: Tally
    skipped: int
    summary: RunSummary
    matches: tuple[tuple[str, TextMatch], ...] = ()
    max_failed_fraction: float = 1.0
    signal_number: int | None = None

    @property
    def exit_code(self) -> int:
        """Tell how it ended: 0 for success, 8 if some recordings are not separated, 9 if none is.

        128 + signal for a run that was stopped.
        """
        if self.signal_number is not None:
            return 128 + self.signal_number
        failed, unfinished = self.tally.counts["failed"], self.tally.counts["unfinished"]
        if not unfinished and (not failed or self._is_tolerable()):
            return 0
        return 8 if self.tally.counts["separated"] or self.skipped else 9

    def _is_tolerable(self) -> bool:
        return self.max_failed_fraction < 1.0 and self.tally.failed_fraction <= self.max_failed_fraction


def separate_archive(
    archive: str,
    *,
    request: SeparationRequest,
    options: JobOptions | None = None,
    on_progress: ProgressHook | None = None,
    make_separator: MakeSeparator = RecordingSeparator,
) -> ArchiveResult:
    """Separate every recording of an archive, or go on where an earlier run of the same request ended.

    Parameters
    ----------
    archive : str
        Whatever `listing.open_listing` takes: a folder, a prefix of an object store, a manifest, an inventory.
    request : SeparationRequest
        What to do with each recording, and where the results go.
    options : JobOptions, optional
        How the job runs.
    on_progress : callable, optional
        Called as recordings are done.
    make_separator : callable, optional
        What the workers separate with; benchmarks take another.

    Returns
    -------
    ArchiveResult
        Sums; what became of each recording is in the index.

    Raises
    ------
    UssRayError
        If the archive is empty, results of another run are in the way, the output cannot be written, or weights,
        query or settings are wrong: before any work. Later only if nothing at all can be done any more, such as
        with a full disk; what was done until then stays. A bad recording raises nothing.
    """
    chosen = options or JobOptions()
    started = time.monotonic(), datetime.now(UTC)
    output = request.output_store
    check_output(output)
    checked = RecordingSeparator(request.replace(device="cpu"))
    listing = open_listing(Store(archive, request.storage), shard=chosen.shard, limit=chosen.limit)
    few = _count_few(listing)
    with ray_session(chosen.address):
        pool = plan_pool(
            actors=chosen.actors,
            threads=chosen.threads,
            device=request.device,
            actors_per_gpu=chosen.actors_per_gpu,
        )
        identity, resumed = open_run(
            RunIdentity.of(archive, run=checked.run, threads=pool.threads),
            output=output,
            results_folder=INDEX_FOLDER,
            start_over=partial(start_over, output) if request.overwrite else None,
        )
        if resumed and chosen.threads is None and request.device != "cuda" and not pool.gpus_per_actor:
            pool = plan_pool(actors=chosen.actors, threads=identity.threads, device=request.device)
        sweep_staging(output)
        with staging_folder(output) as scratch:
            run = _Run(
                # The index tells what is there; a worker that is tried again must be free to replace its own results.
                request=request.replace(overwrite=True),
                options=chosen,
                listing=listing,
                pool=pool,
                separator=checked,
                scratch=scratch,
                few=few,
                decoders=most_decoders(pool),
                on_progress=on_progress,
                make_separator=make_separator,
            )
            with stop_on_signals(run.stop) as stop:
                set_up_ray_data()
                skipped = run.drive(stop=stop)
        _settle(output)
    tally = run.tally
    summary = _summary(archive, request, run=run, skipped=skipped, started=started)
    _write_summary(summary, output=output, shard=chosen.shard)
    return ArchiveResult(
        output=request.output,
        tally=tally,
        skipped=skipped,
        summary=summary,
        matches=checked.matches,
        max_failed_fraction=chosen.max_failed_fraction,
        signal_number=stop.signal_number,
    )


@dataclass(kw_only=True)
class _Run(Passes):
    request: SeparationRequest
    options: JobOptions
    listing: Listing
    pool: WorkerPool
    separator: RecordingSeparator
    scratch: Path
    on_progress: ProgressHook | None
    make_separator: MakeSeparator
    tally: Tally = field(default_factory=Tally)
    few: int | None = None
    decoders: int = 1
    _finished_before: int = 0
    _found: int = 0

    def read_ledger(self) -> tuple[Any, int]:
        """See `Passes`."""
        request = self.request

        def read() -> Ledger:
            return read_ledger(request.output_store)

        ledger: Any = ray.remote(read).options(num_cpus=0).remote()
        found: Ledger = ray.get(ledger)  # a view into Ray's store: 8 bytes a recording
        return ledger, len(found.separated) + len(found.failed)

    def run_pass(self, ledger: Any, *, careful: bool) -> None:
        """See `Passes`."""
        grain = Grain.alone() if careful else Grain.of(self.few, actors=self.pool.actors)
        long = LongRecordings(self.separator.publisher)
        reports = packet_reports(
            self.listing.readers,
            request=self.request,
            pool=self.pool,
            grain=grain,
            context_seconds=self.separator.span_context_seconds,
            ledger=ledger,
            retry_failed=self.options.retry_failed,
            state=self.state,
            scratch=self.scratch,
            make_separator=self.make_separator,
        )
        self._finished_before = self.tally.finished
        for outcome in self._outcomes(reports, long=long):
            self._count(outcome)

    def _outcomes(self, reports: Any, *, long: LongRecordings) -> Iterator[Outcome]:
        for table in iterate_tables(reports):
            for record in table.to_pylist():
                report = PacketReport.from_record(record)
                self._look()
                self.tally.add_times(report)
                if report.outcomes:
                    self.judge(
                        fruitful=any(outcome.status != "unfinished" for outcome in report.outcomes),
                        output=self.request.output,
                        reason=report.outcomes[-1].reason or "unknown",
                    )
                for outcome in report.outcomes:
                    yield from long.take(outcome)
                yield from long.joined()
        yield from long.joined(wait=True)

    def _look(self) -> None:
        """Ask what the listing has found; not for each recording, for that would take longer than to count it."""
        if self.on_progress is not None:
            self._found = ray.get(self.state.found.remote()) + self._finished_before

    def _count(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        limit = self.options.max_failed_fraction
        if limit < 1.0 and self.tally.finished >= _JUDGED and self.tally.failed_fraction > limit:
            self.state.stop.remote()
        if self.on_progress is not None:
            self.on_progress(
                Progress(
                    finished=self.tally.finished,
                    failed=self.tally.counts["failed"],
                    found=self._found,
                    audio_seconds=self.tally.audio_seconds,
                )
            )

    def gave_up(self) -> bool:
        """Tell whether too many recordings have failed."""
        limit = self.options.max_failed_fraction
        return limit < 1.0 and self.tally.finished >= _JUDGED and self.tally.failed_fraction > limit

    def missing(self) -> int:
        """See `Passes`."""
        found = ray.get(self.state.found.remote())
        return int(found) - (self.tally.finished - self._finished_before)

    def forget_unfinished(self) -> None:
        """See `Passes`."""
        self.tally.counts["unfinished"] = 0

    def blame(self, ledger: Any) -> None:
        """See `Passes`."""
        if self.tally.counts["unfinished"]:
            return  # they cannot be told from those that only wait for a store
        rows = missing_recordings(
            self.listing.readers,
            ledger=ledger,
            retry_failed=self.options.retry_failed,
            state=start_run_state(),
        )
        publisher = self.separator.publisher
        for table in iterate_tables(rows):
            for row in table.select(["recording_uri", "recording_id"]).to_pylist():
                recording = Recording(**row)
                failed = publisher.failed(recording, reason=_CRASHED)
                publisher.commit_failed([failed], name=FAILED_PREFIX + index_name(recording))
                self._count(failed_outcome(recording, reason=_CRASHED))


def _count_few(listing: Listing) -> int | None:
    """Count the recordings of a small archive; None for others."""
    if listing.known_count is not None:
        return listing.known_count if listing.known_count <= _FEW else None
    count = 0
    for table in listing.tables():
        count += len(table)
        if count > _FEW:
            return None
    return count


def _settle(output: Store) -> None:
    """Bring what failed into order, and remove the spans of what is done; on a worker, for there may be many."""

    def settle() -> None:
        settle_failures(output)
        forget_done_parts(output, read_ledger(output))

    try:
        ray.get(ray.remote(settle).options(num_cpus=0).remote())
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, UssRayError) else error from None


def _summary(
    archive: str,
    request: SeparationRequest,
    *,
    run: _Run,
    skipped: int,
    started: tuple[float, datetime],
) -> RunSummary:
    tally = run.tally
    peak = max(tally.workers.values(), default=None)
    actors = run.pool.actors
    workers = {"decode": run.decoders, "separate": actors, "write": actors}
    return RunSummary(
        run_id=run.separator.run.run_id,
        input=archive,
        output=request.output,
        software_version=version("uss-ray"),
        ray_version=ray.__version__,
        started_at=started[1],
        ended_at=datetime.now(UTC),
        wall_seconds=time.monotonic() - started[0],
        audio_hours=tally.audio_seconds / 3600,
        recordings=RecordingCounts(
            separated=tally.counts["separated"],
            failed=tally.counts["failed"],
            unfinished=tally.counts["unfinished"],
            skipped=skipped,
        ),
        stems=tally.stems["written"],
        stem_bytes=tally.stem_bytes,
        stages=tuple(
            StageSummary(
                name=name,
                workers=workers[name],
                busy_seconds=stage.seconds,
                peak_memory_bytes=None if name == "decode" else peak,
            )
            for name, stage in tally.stages.items()
        ),
        failures=tally.failures.most_common(),
    )


def _write_summary(summary: RunSummary, *, output: Store, shard: tuple[int, int] | None) -> None:
    name = "summary.json" if shard is None else f"summary-{shard[0]}-of-{shard[1]}.json"
    (output / name).put(summary.to_json().encode())
