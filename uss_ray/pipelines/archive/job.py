"""The archive job: separate every recording of an archive, begun or resumed.

Stems, reports and index rows are written by the workers; thin rows come back, and only sums are kept of them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import ray.data

from uss_ray.api.publisher import index_name
from uss_ray.api.request import SeparationRequest, request_with
from uss_ray.api.separator import RecordingSeparator
from uss_ray.api.staging import check_apart, check_output, staging_folder, sweep_staging
from uss_ray.errors import UssRayError, reason_of
from uss_ray.ontology.vocabulary import TextMatch
from uss_ray.pipelines.archive.chunking import Chunking, FewRecordings, few_recordings
from uss_ray.pipelines.archive.cleaning import OWNED, forget_done_parts
from uss_ray.pipelines.archive.decode import SpanPlan, decode_packets
from uss_ray.pipelines.archive.ledger import (
    FAILED_PREFIX,
    Ledger,
    read_ledger,
    settle_duplicates,
    settle_failures,
    tally_of,
)
from uss_ray.pipelines.archive.long_recordings import LongRecordings
from uss_ray.pipelines.archive.missing import TellState, WhatToDo, undone_readers
from uss_ray.pipelines.archive.outcome import JOIN, Outcome, PacketReport, failed_outcome
from uss_ray.pipelines.archive.packets import CPU_PACKET_SAMPLES, GPU_PACKET_SAMPLES, SPAN_SAMPLES
from uss_ray.pipelines.archive.separate import MakeSeparator, SeparatePackets
from uss_ray.pipelines.runtime.counters import Increment
from uss_ray.pipelines.runtime.identity import RunIdentity, counts_already
from uss_ray.pipelines.runtime.job import Job, JobResult, LedgerFacts, RunReport, run_job
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.pool import DECODE_CPUS
from uss_ray.pipelines.runtime.progress import ProgressHook
from uss_ray.pipelines.runtime.retry import POISON_REASON, STILL_GROWING_REASON
from uss_ray.pipelines.runtime.run_state import Earlier, is_ending
from uss_ray.pipelines.runtime.stages import (
    Pass,
    cut_blocks,
    map_tables,
    map_with_actors,
    rows_of,
    run_on_worker,
)
from uss_ray.records import INDEX_FOLDER, Recording
from uss_ray.results.index.table import RunFacts
from uss_ray.results.layout import OUTPUT_FOLDERS
from uss_ray.results.passed_over import PassedOver
from uss_ray.results.report.archive import is_current_page, write_archive_page
from uss_ray.results.run_summary import RecordingCounts, RunSummary
from uss_ray.sources.listing import Listing, open_listing
from uss_ray.sources.recordings import RECORDING_SCHEMA
from uss_ray.store.store import Location, Store
from uss_ray.version import VERSION

logger = logging.getLogger(__name__)

_EXAMPLES = 60
_SAME_ID = "recording: expected an id of its own, found that of another one in the input"
_UNLISTED = "listing: expected all that the archive holds, found what cannot be listed (see passed_over)"
_CHANGED = "recording: expected the content that was separated, found another"


@dataclass(frozen=True, kw_only=True)
class ArchiveResult(JobResult[RunSummary]):
    """How a run ended.

    Parameters
    ----------
    matches : tuple of (str, TextMatch)
        Each free text and what it was resolved to.
    examples, failed_examples : tuple of Outcome
        The first few recordings of each kind, for whoever looks at the result.
    passed_over : PassedOver
        Files of the archive that are no recordings.
    """

    matches: tuple[tuple[str, TextMatch], ...] = ()
    examples: tuple[Outcome, ...] = ()
    failed_examples: tuple[Outcome, ...] = ()
    passed_over: PassedOver = field(default_factory=PassedOver)


def page_trouble(output: Store) -> str | None:
    """Write the page of an output that has an index; say what kept it from being written, for results need no page.

    One that was made of the same index stays: of shards that end together the first one writes it for all.
    """
    try:
        if (output / INDEX_FOLDER).exists() and not is_current_page(output):
            write_archive_page(output)
    except Exception as error:  # noqa: BLE001 - such as too little memory
        return reason_of(error)
    return None


def separate_archive(
    archive: str | os.PathLike[str],
    output: Location | None = None,
    *,
    request: SeparationRequest | None = None,
    options: JobOptions | None = None,
    on_progress: ProgressHook | None = None,
    on_matches: Callable[[tuple[tuple[str, TextMatch], ...]], None] | None = None,
    make_separator: MakeSeparator = RecordingSeparator,
    **asked: Any,
) -> ArchiveResult:
    """Separate every recording of an archive, or go on where an earlier run of the same request ended.

    Parameters
    ----------
    archive : str or path
        Whatever `listing.open_listing` takes: a folder, a prefix of an object store, a manifest, an inventory.
    output : path, optional
        Folder or URI of the results; not needed where the request says it.
    request : SeparationRequest, optional
        What to do with each recording, and where the results go. None: made of what is asked.
    options : JobOptions, optional
        How the job runs.
    on_progress : callable, optional
        Called as recordings are done.
    on_matches : callable, optional
        Called before any work with each free text and what it was resolved to.
    make_separator : callable, optional
        What the workers separate with; benchmarks take another.
    **asked
        As of `uss_ray.separate`, laid over the request, and fields of `JobOptions`, laid over the options, by their
        names: `levels=[1], actors=2`.

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
    if output is not None:
        asked["output"] = output
    running = {name: asked.pop(name) for name in JobOptions.model_fields if name in asked}
    chosen = (options or JobOptions()).replace(**running)
    job = archive_job(
        archive,
        request=request_with(request, **asked),
        options=chosen,
        on_matches=on_matches,
        make_separator=make_separator,
    )
    result = run_job(job, options=chosen, on_progress=on_progress)
    return ArchiveResult(
        **vars(result),
        matches=job.separator.matches,
        examples=tuple(job.examples),
        failed_examples=tuple(job.failed_examples),
        passed_over=job.passed_over,
    )


def archive_job(
    archive: str | os.PathLike[str],
    *,
    request: SeparationRequest,
    options: JobOptions,
    on_matches: Callable[[tuple[tuple[str, TextMatch], ...]], None] | None = None,
    make_separator: MakeSeparator = RecordingSeparator,
) -> ArchiveJob:
    """Prepare the separation of an archive, as `separate_archive` does it; without Ray, and nothing is written.

    Raises
    ------
    UssRayError
        If the archive is empty, the output cannot be written, or weights, query or settings are wrong.
    """
    source = Store(os.fspath(archive), request.storage).absolute()  # workers may work in other folders
    request = request.replace(output=str(request.output_store.absolute()), weights=_absolute(request.weights))
    check_output(request.output_store)
    check_apart(source, request.output_store, folders=OUTPUT_FOLDERS)
    separator = RecordingSeparator(request.replace(device="cpu"))
    if on_matches is not None:
        on_matches(separator.matches)
    listing = open_listing(
        source,
        shard=options.shard,
        limit=options.limit,
        follow_links=options.follow_links,
    )
    return ArchiveJob(
        archive=str(source),
        request=request,
        listing=listing,
        few=few_recordings(listing),
        separator=separator,
        make_separator=make_separator,
    )


def _absolute(weights: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Name local weights so that workers find them; a name or URI of weights stays."""
    return os.path.abspath(weights) if os.path.exists(weights) else weights


@dataclass(kw_only=True)
class ArchiveJob(Job[RunSummary]):
    """Separation of an archive.

    Parameters
    ----------
    archive : str
    request : SeparationRequest
    listing : Listing
        Of the archive.
    few : FewRecordings or None
        Of it, where it is small.
    separator : RecordingSeparator
        Made here, so that what is wrong with weights or query shows before any worker starts.
    make_separator : callable
        What the workers separate with.
    """

    kind = "archive"
    stages = ("decode", "separate", "write")
    owned = OWNED

    archive: str
    request: SeparationRequest
    listing: Listing
    few: FewRecordings | None
    separator: RecordingSeparator
    make_separator: MakeSeparator
    examples: list[Outcome] = field(default_factory=list)
    failed_examples: list[Outcome] = field(default_factory=list)
    passed_over: PassedOver = field(default_factory=PassedOver)
    earlier: Earlier = field(default_factory=Earlier)
    _join_workers: set[str] = field(default_factory=set)
    _failed_long: set[int] = field(default_factory=set)
    _scratch: Path = Path()
    _listed_by: Any = None

    def pipeline(self, run: Pass) -> ray.data.Dataset:
        """List what is not done, decode it to packets, separate these; reports come back."""
        chunking = Chunking.isolated() if run.is_isolated else Chunking.of(self.few, actors=run.pool.actors)
        self._long = LongRecordings(self.separator.publisher, state=run.state)
        self._long.workers, self._long.failed = self._join_workers, self._failed_long  # of all passes
        # The index tells what is there; a worker that is tried again must be free to replace its own results.
        request = self.request.replace(overwrite=True)
        spans = SpanPlan(
            segment_seconds=request.settings.segment_seconds,
            context_seconds=self.separator.span_context_seconds,
            span_seconds=request.span_seconds,
            span_samples=SPAN_SAMPLES,
        )

        rows = self._undone(run)
        rows = cut_blocks(rows, rows_at_a_time=chunking.decode_rows)
        packets = map_tables(
            rows,
            decode_packets,
            cpus=DECODE_CPUS,
            tells=run.state,
            rows_at_a_time=chunking.decode_rows,
            request=request,
            plan=spans,
            packet_units=chunking.packet_units,
            was_listed=self.listing.kind in ("folder", "prefix"),
            packet_samples=GPU_PACKET_SAMPLES if run.pool.gpus_per_actor else CPU_PACKET_SAMPLES,
            state=run.state,
        )
        return map_with_actors(
            packets,
            SeparatePackets,
            pool=run.pool,
            state=run.state,
            is_isolated=run.is_isolated,
            request=request,
            threads=run.pool.threads,
            scratch=self._scratch,
            make_separator=self.make_separator,
        )

    def read(self, record: dict[str, Any]) -> Iterator[Increment]:
        """See `Job`; spans of a long recording count when they are joined."""
        report = PacketReport.from_record(record)
        yield report.increment()
        for outcome in report.outcomes:
            for known in self._long.take(outcome):
                yield self._noted(known)

    @property
    def has_trailing(self) -> bool:
        """See `Job`; long recordings that are still to be joined."""
        return self._long.is_joining

    def trailing(self, *, seconds: float) -> Iterator[Increment]:
        """See `Job`."""
        return map(self._noted, self._long.joined(seconds=seconds))

    def abandon(self) -> Iterator[Increment]:
        """See `Job`."""
        return map(self._noted, self._long.abandon())

    def quarantine(self, run: Pass) -> Iterator[Increment]:
        """See `Job`; they become failed rows of the index."""
        publisher = self.separator.publisher
        missing = rows_of(self._undone(run), ["recording_uri", "recording_id"], at_most=run.missing)
        if missing is None:
            # Some have come since the last pass, and nobody tells which: the next run tries all of them.
            yield Increment(unfinished=run.missing, unfinished_reason=STILL_GROWING_REASON)
            return
        for row in missing:
            recording = Recording(**row)
            failed = publisher.failed(recording, reason=POISON_REASON)
            publisher.commit_failed([failed], name=FAILED_PREFIX + index_name(recording))
            yield self._noted(failed_outcome(recording, reason=POISON_REASON))

    def finalise(self, *, is_complete: bool) -> Iterator[Increment]:  # noqa: ARG002
        """See `Job`; bring the index into order, remove the spans of what is done, and count what was done before."""
        output = self.output
        if self._listed_by is not None:
            self.passed_over = ray.get(self._listed_by.passed_over.remote())
            self.earlier = ray.get(self._listed_by.earlier.remote())
        earlier, failed = self.earlier, self.earlier.failed_keys
        failed_long = frozenset(self._failed_long)

        def settle() -> dict[str, int]:
            settle_duplicates(output)
            rows = settle_failures(output)
            forget_done_parts(output, failed=failed_long)
            return tally_of(rows, keys=failed).most_common()

        # What the listing has told comes first: a stop may leave no time for more.
        yield Increment(skipped=earlier.skipped, failed_before=len(failed))
        if earlier.strangers:
            yield Increment(failed=earlier.strangers, failures={_SAME_ID: earlier.strangers})
        if lost := self.passed_over.lost_count:
            yield Increment(failed=lost, failures={_UNLISTED: lost})
        if self.request.changed == "fail" and earlier.changed.count:
            yield Increment(failed=earlier.changed.count, failures={_CHANGED: earlier.changed.count})
        yield Increment(failures=run_on_worker(settle, tells=self.tells))  # for there may be many
        if self.request.write.report and (trouble := self._page_trouble()) is not None:
            logger.warning("%s: no page of this state; uss-ray report makes it: %s", output, trouble)

    def _page_trouble(self) -> str | None:
        """Have the page written by a task of its own, whatever becomes of that."""
        if is_ending(self.tells):
            return "the run was stopped"
        try:
            return run_on_worker(page_trouble, self.output, tells=self.tells, retries=0)
        except UssRayError as error:
            return error.reason

    def summary(self, report: RunReport) -> RunSummary:
        """See `Job`."""
        counters = report.counters
        return RunSummary(
            run_id=report.facts.run_id,
            input=self.archive,
            output=str(self.output),
            software_version=VERSION,
            ray_version=ray.__version__,
            started_at=report.started_at,
            ended_at=report.ended_at,
            wall_seconds=report.wall_seconds,
            audio_hours=counters.audio_seconds / 3600,
            passed_over=self.passed_over.record(),
            changed=self.earlier.changed.record(),
            duplicates=self.earlier.duplicates.record(),
            recordings=RecordingCounts(
                separated=counters.done,
                failed=counters.failed,
                unfinished=counters.unfinished,
                skipped=counters.skipped,
                failed_before=counters.failed_before,
            ),
            stems=int(counters.amounts["written"]),
            stem_bytes=int(counters.amounts["stem_bytes"]),
            stages=counters.stage_summaries(report.stage_workers | self._joiners()),
            failures=counters.failures.most_common(),
        )

    def _joiners(self) -> dict[str, int]:
        workers = len(self._join_workers)
        return {JOIN: workers} if workers else {}

    @property
    def source(self) -> str:
        """See `Job`."""
        return self.archive

    def facts(self) -> RunFacts:
        """See `Job`."""
        return self.separator.run

    @property
    def goes_on(self) -> bool:
        """Whether results of an earlier run count; refuses those of another one, as the run would."""
        return counts_already(
            RunIdentity.of(self.source, run=self.facts(), threads=1),
            output=self.output,
            owned=self.owned,
            overwrite=self.request.overwrite,
        )

    @contextmanager
    def workspace(self) -> Iterator[None]:
        """Keep a staging folder for all workers; who was killed in an earlier one is swept away."""
        sweep_staging(self.output)
        with staging_folder(self.output) as self._scratch:
            yield

    def ledger_reader(self) -> Callable[[], tuple[Ledger, LedgerFacts]]:
        """See `Job`; what of it counts is known when the input has been listed."""
        output = self.output
        spans = None if self.few is None else self.few.spans(self.request.span_seconds)

        def read() -> tuple[Ledger, LedgerFacts]:
            return read_ledger(output), LedgerFacts(most_actors=spans)

        return read

    def is_one_by_one(self, run: Pass) -> bool:  # noqa: ARG002
        """See `Job`."""
        return True

    def _undone(self, run: Pass) -> ray.data.Dataset:
        self._listed_by = self._listed_by or run.state
        is_first = self._listed_by is run.state
        what = WhatToDo(
            changed=self.request.changed,
            storage=self.request.storage,
            may_repeat=self.listing.kind not in ("file", "folder"),
        )
        readers = undone_readers(
            self.listing.telling(TellState(run.state), unlisted=TellState(run.state, "add_unlisted")).readers,
            run=run,
            is_first=is_first,
            what=what,
        )
        return run.read(readers, schema=RECORDING_SCHEMA, name="Recordings")

    def _noted(self, outcome: Outcome) -> Increment:
        examples = self.failed_examples if outcome.status == "failed" else self.examples
        if outcome.status != "unfinished" and len(examples) < _EXAMPLES:
            examples.append(outcome)
        return outcome.increment()
