"""The mining job, from its request to its summary: begins or resumes a run, drives the pipeline, tells how it ended.

Shards and receipts are written by the workers; thin rows come back, and only sums are kept of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError

from uss_ray.anchors.manifest import MiningManifest
from uss_ray.anchors.shards import REJECT_FOLDER
from uss_ray.api.staging import check_output
from uss_ray.datasets.clip_sources import open_clip_source
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.mining.clip_miner import ClipMiner, WeakClip
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.mining.clips import selected_clips
from uss_ray.pipelines.mining.facts import check_labels, load_labels, manifest_maker, run_facts
from uss_ray.pipelines.mining.ledger import MiningLedger, read_ledger
from uss_ray.pipelines.mining.mine import MakeMiner
from uss_ray.pipelines.mining.miners import load_checked_weights, load_vocabulary, make_miner
from uss_ray.pipelines.mining.outcome import MiningReport
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.mining.settle import MiningTotals, note_missing, settle, start_over
from uss_ray.pipelines.mining.stages import ClipListing, blame_clips, mining_reports, packet_clips
from uss_ray.pipelines.mining.summary import MiningSummary
from uss_ray.pipelines.mining.tally import STAGES, MiningTally
from uss_ray.pipelines.runtime.cluster import WorkerPool, most_decoders, plan_pool, ray_session
from uss_ray.pipelines.runtime.identity import RunIdentity, open_run
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.passes import Passes
from uss_ray.pipelines.runtime.progress import Progress, ProgressHook
from uss_ray.pipelines.runtime.run_state import start_run_state
from uss_ray.pipelines.runtime.stages import iterate_tables, own_error, set_up_ray_data
from uss_ray.pipelines.runtime.stopping import stop_on_signals
from uss_ray.results.index.table import RunFacts
from uss_ray.results.report.mining import write_mining_report
from uss_ray.results.run_summary import StageSummary
from uss_ray.weights.folder import Weights

_JUDGED = 100  # clips that must be finished before too many failures stop a run
_FEW = 1000  # missing clips that are tried one by one; of more, whole batches are
_CRASHED = "its worker died each time it was tried"


@dataclass(frozen=True, kw_only=True)
class MiningResult:
    """How a run ended.

    Parameters
    ----------
    output : str
        Output root.
    tally : MiningTally
        Sums of this run.
    summary : MiningSummary
        As in `summary.json`.
    max_failed_fraction : float
        See `JobOptions`.
    signal_number : int or None
        What stopped the run.
    report : str or None
        The HTML page.
    """

    output: str
    tally: MiningTally
    summary: MiningSummary
    max_failed_fraction: float = 1.0
    signal_number: int | None = None
    report: str | None = None

    @property
    def exit_code(self) -> int:
        """Tell how it ended: 0 for success, 8 if some clips are not mined, 9 if none is.

        128 + signal for a run that was stopped.
        """
        if self.signal_number is not None:
            return 128 + self.signal_number
        counts = self.tally.counts
        tolerable = self.max_failed_fraction < 1.0 and self.tally.failed_fraction <= self.max_failed_fraction
        if not counts["unfinished"] and (not counts["failed"] or tolerable):
            return 0
        return 8 if counts["mined"] or self.summary.skipped else 9


def mine_archive(
    request: MiningRequest,
    *,
    options: JobOptions | None = None,
    on_progress: ProgressHook | None = None,
    make_miner: MakeMiner = make_miner,
) -> MiningResult:
    """Mine every clip of labelled audio, or go on where an earlier run of the same request ended.

    Parameters
    ----------
    request : MiningRequest
        Which clips, how they are mined, and where the anchors go.
    options : JobOptions, optional
        How the job runs.
    on_progress : callable, optional
        Called as packets are done.
    make_miner : callable, optional
        What the workers mine with; tests and benchmarks take another.

    Returns
    -------
    MiningResult
        Sums; what became of each clip is in the shards of anchors and rejects.

    Raises
    ------
    UssRayError
        If a label is not in the class list, there is no audio, results of another run are in the way, the output
        cannot be written, or weights or settings are wrong: before any work. Later only if nothing at all can be done
        any more; what was done until then stays. A bad clip raises nothing.
    """
    chosen = options or JobOptions()
    started = time.monotonic(), datetime.now(UTC)
    check_output(request.output_store)
    check_labels(request)
    vocabulary = load_vocabulary(request)
    weights = _try_weights(request, vocabulary)
    source = open_clip_source(request.audio_store, container=request.container, columns=request.columns)
    with ray_session(chosen.address):
        pool = plan_pool(
            actors=chosen.actors,
            threads=chosen.threads,
            device=request.device,
            actors_per_gpu=chosen.actors_per_gpu,
        )
        table, clips, segments_sha256 = _load_table(request, vocabulary)
        facts = run_facts(request, weights=weights, vocabulary=vocabulary, segments_sha256=segments_sha256)
        identity, resumed = open_run(
            RunIdentity.of(request.audio, run=facts, threads=pool.threads),
            output=request.output_store,
            results_folder=REJECT_FOLDER,
            start_over=partial(start_over, request.output_store) if request.overwrite else None,
        )
        if resumed and chosen.threads is None and request.device != "cuda" and not pool.gpus_per_actor:
            pool = plan_pool(actors=chosen.actors, threads=identity.threads, device=request.device)
        run = _Run(
            request=request,
            options=chosen,
            listing=ClipListing(
                readers=source.readers,
                table=table,
                clips=clips,
                options=chosen,
            ),
            pool=pool,
            sample_rate=weights.specifications.sample_rate,
            on_progress=on_progress,
            make_miner=make_miner,
        )
        with stop_on_signals(run.stop) as stop:
            set_up_ray_data()
            skipped = run.drive(stop=stop)
        is_complete = not (stop or run.gave_up() or chosen.retry_failed or run.missing())
        manifest_of = manifest_maker(request, weights=weights, vocabulary=vocabulary)
        missing, totals, report = _finish(
            request,
            listing=run.listing,
            is_complete=is_complete,
            manifest_of=manifest_of,
            labels=vocabulary.classes.labels,
        )
        run.tally.add_missing(missing)
        summary = _summary(run, facts=facts, skipped=skipped, started=started, totals=totals)
    shard = chosen.shard
    name = "summary.json" if shard is None else f"summary-{shard[0]}-of-{shard[1]}.json"
    (request.output_store / name).put(summary.to_json().encode())
    return MiningResult(
        output=request.output,
        tally=run.tally,
        summary=summary,
        max_failed_fraction=chosen.max_failed_fraction,
        signal_number=stop.signal_number,
        report=report,
    )


@dataclass(kw_only=True)
class _Run(Passes):
    request: MiningRequest
    options: JobOptions
    listing: ClipListing
    pool: WorkerPool
    sample_rate: int
    on_progress: ProgressHook | None
    make_miner: MakeMiner
    tally: MiningTally = field(default_factory=MiningTally)
    _finished_before: int = 0
    _missing_before: int = 0
    _tried_alone: bool = False

    def read_ledger(self) -> tuple[Any, int]:
        """See `Passes`."""
        request, options, clips = self.request, self.options, self.listing.clips

        def read() -> tuple[MiningLedger, int]:
            ledger = read_ledger(request.output_store, clips=clips)
            known = ledger.mined | ledger.failed
            return ledger, int((known & selected_clips(options, clips=clips)).sum())

        references: Any = ray.remote(read).options(num_cpus=0, num_returns=2).remote()
        return references[0], int(_get(references[1]))

    def run_pass(self, ledger: Any, *, careful: bool) -> None:
        """See `Passes`."""
        batch_size = self.request.settings.batch_size
        clips = packet_clips(self.listing.clips, actors=self.pool.actors, batch_size=batch_size)
        if careful:
            self._tried_alone = self._missing_before <= _FEW
            clips = 1 if self._tried_alone else batch_size
        reports = mining_reports(
            self.listing,
            request=self.request,
            sample_rate=self.sample_rate,
            pool=self.pool,
            packet_clips=clips,
            is_alone=careful,
            ledger=ledger,
            state=self.state,
            make_miner=self.make_miner,
        )
        self._finished_before = self.tally.finished
        self._take(reports)

    def _take(self, reports: ray.data.Dataset) -> None:
        for table in iterate_tables(reports):
            for record in table.to_pylist():
                report = MiningReport.from_record(record)
                self.tally.add(report)
                if report.mined or report.failed or report.unfinished:
                    self.judge(
                        fruitful=bool(report.mined or report.failed),
                        output=self.request.output,
                        reason=report.reason or "unknown",
                    )
                if self.gave_up():
                    self.state.stop.remote()
                self._tell()

    def _tell(self) -> None:
        if self.on_progress is not None:
            self.on_progress(
                Progress(
                    finished=self.tally.finished,
                    failed=self.tally.counts["failed"],
                    found=ray.get(self.state.found.remote()) + self._finished_before,
                    audio_seconds=self.tally.audio_seconds,
                )
            )

    def gave_up(self) -> bool:
        """Tell whether too many clips have failed."""
        limit = self.options.max_failed_fraction
        return limit < 1.0 and self.tally.finished >= _JUDGED and self.tally.failed_fraction > limit

    def missing(self) -> int:
        """See `Passes`."""
        found = int(ray.get(self.state.found.remote()))
        return found - (self.tally.finished - self._finished_before)

    def forget_unfinished(self) -> None:
        """See `Passes`."""
        self._missing_before = self.missing()
        self.tally.counts["unfinished"] = 0

    def blame(self, ledger: Any) -> None:
        """See `Passes`."""
        if self.tally.counts["unfinished"] or not self._tried_alone:
            return  # they cannot be told from those that only wait for a store
        rows = self.listing.missing(ledger=ledger, state=start_run_state())
        self._take(blame_clips(rows, request=self.request, reason=_CRASHED))


def _try_weights(request: MiningRequest, vocabulary: Vocabulary) -> Weights:
    """Load the weights, and mine a second of silence with them: what is wrong shows before any worker starts."""
    weights = load_checked_weights(request)
    settings = request.settings.replace(batch_size=1)
    miner = ClipMiner(weights, settings=settings, vocabulary=vocabulary)
    silence = np.zeros(round(settings.anchor_seconds * weights.specifications.sample_rate), np.float32)
    miner.mine([WeakClip("silence", (0,), silence)])
    return weights


def _load_table(request: MiningRequest, vocabulary: Vocabulary) -> tuple[Any, int, str]:
    """Read the segment CSVs in a task: a reference to the table, its number of clips and its digest come back."""

    def load() -> tuple[SegmentTable, int, str]:
        table, sha256 = load_labels(request, vocabulary)
        return table, len(table), sha256

    references: Any = ray.remote(load).options(num_cpus=0, num_returns=3).remote()
    table, clips, digest = references
    return table, int(_get(clips)), str(_get(digest))


def _finish(
    request: MiningRequest,
    *,
    listing: ClipListing,
    is_complete: bool,
    manifest_of: Callable[..., MiningManifest],
    labels: tuple[str, ...],
) -> tuple[int, MiningTotals, str | None]:
    """Settle the output and write the page, in a task; gives the clips that no container held, and the totals."""
    options = listing.options

    def finish(table: SegmentTable) -> tuple[int, MiningTotals, str | None]:
        chosen = selected_clips(options, clips=len(table))
        missing = note_missing(request.output_store, table=table, chosen=chosen) if is_complete else 0
        totals = settle(
            request.output_store, table=table, manifest_of=manifest_of, is_alone=options.shard is None
        )
        report = (
            write_mining_report(request.output_store, labels=labels)
            if request.report and totals.anchors
            else None
        )
        return missing, totals, report

    finished: tuple[int, MiningTotals, str | None] = _get(
        ray.remote(finish).options(num_cpus=0).remote(listing.table)
    )
    return finished


def _get(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayError as error:
        raise own_error(error) from error


def _summary(
    run: _Run,
    *,
    facts: RunFacts,
    skipped: int,
    started: tuple[float, datetime],
    totals: MiningTotals,
) -> MiningSummary:
    tally, request = run.tally, run.request
    peak = max(tally.workers.values(), default=None)
    workers = {"decode": most_decoders(run.pool), "mine": run.pool.actors, "write": run.pool.actors}
    return MiningSummary(
        run_id=facts.run_id,
        segments=request.segments,
        audio=request.audio,
        output=request.output,
        weights_name=facts.weights_name,
        software_version=version("uss-ray"),
        ray_version=ray.__version__,
        started_at=started[1],
        ended_at=datetime.now(UTC),
        wall_seconds=time.monotonic() - started[0],
        audio_hours=tally.audio_seconds / 3600,
        mined=tally.counts["mined"],
        failed=tally.counts["failed"],
        missing=tally.counts["missing"],
        unfinished=tally.counts["unfinished"],
        skipped=skipped,
        anchors=tally.anchors,
        stages=tuple(
            StageSummary(
                name=stage,
                workers=workers[stage],
                busy_seconds=tally.stage_seconds[stage],
                peak_memory_bytes=None if stage == "decode" else peak,
            )
            for stage in STAGES
        ),
        failures=tally.failures.most_common(),
        broken_containers=tuple(tally.containers),
        totals=totals,
    )
