"""The mining job: anchors out of every clip of labelled audio, begun or resumed.

Shards and receipts are written by the workers; thin rows come back, and only sums are kept of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ray
import ray.data

from uss_ray.api.staging import check_apart, check_output
from uss_ray.config import absolute
from uss_ray.datasets.clip_sources import open_clip_source
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.mining.chunking import packet_clips, retried_clips
from uss_ray.pipelines.mining.clips import selected_clips
from uss_ray.pipelines.mining.decode import decode_packets
from uss_ray.pipelines.mining.facts import check_labels, load_labels, manifest_maker, run_facts
from uss_ray.pipelines.mining.ledger import MiningLedger, read_ledger
from uss_ray.pipelines.mining.listing import ClipListing
from uss_ray.pipelines.mining.mine import MakeMiner, MinePackets
from uss_ray.pipelines.mining.miners import load_vocabulary, make_miner, try_weights
from uss_ray.pipelines.mining.outcome import STAGES, MiningReport
from uss_ray.pipelines.mining.quarantine import CLIP_COLUMNS, quarantine_clips, without_containers
from uss_ray.pipelines.mining.receipts import OWNED
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.mining.settle import MiningTotals, note_missing, settle
from uss_ray.pipelines.mining.summary import MiningSummary
from uss_ray.pipelines.runtime.counters import Increment
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
    split_on_worker,
)
from uss_ray.results.index.table import RunFacts
from uss_ray.results.report.mining import write_mining_report
from uss_ray.version import VERSION
from uss_ray.weights.folder import Weights

_MOST_CONTAINERS = 1000
_NOT_THERE = "clip: expected audio of that name, found none"
_CHANGED = "clip: expected what it held when it was mined, found another content"


@dataclass(frozen=True, kw_only=True)
class MiningResult(JobResult[MiningSummary]):
    """How a run ended.

    Parameters
    ----------
    report : str or None
        The HTML page.
    """

    report: str | None = None


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
    request = absolute(request)  # workers may work in other folders
    check_output(request.output_store)
    check_apart(request.audio_store, request.output_store, folders=OWNED.folders)
    check_labels(request)
    vocabulary = load_vocabulary(request)
    job = MiningJob(
        request=request,
        options=chosen,
        vocabulary=vocabulary,
        weights=try_weights(request, vocabulary),
        make_miner=make_miner,
    )
    result = run_job(job, options=chosen, on_progress=on_progress)
    return MiningResult(**vars(result), report=job.report)


@dataclass(kw_only=True)
class MiningJob(Job[MiningSummary]):
    """Mining of labelled audio.

    Parameters
    ----------
    request : MiningRequest
    options : JobOptions
    vocabulary : Vocabulary
    weights : Weights
        Loaded here, so that what is wrong with them shows before any worker starts.
    make_miner : callable
        What the workers mine with.
    """

    kind = "mining"
    stages = STAGES
    owned = OWNED

    request: MiningRequest
    options: JobOptions
    vocabulary: Vocabulary
    weights: Weights
    make_miner: MakeMiner
    report: str | None = None
    _containers: dict[str, None] = field(default_factory=dict)
    _totals: MiningTotals | None = None
    _listed_by: Any = None
    _earlier: Earlier = field(default_factory=Earlier)

    def __post_init__(self) -> None:
        request = self.request
        self._source = open_clip_source(
            request.audio_store,
            container=request.container,
            columns=request.columns,
            follow_links=self.options.follow_links,
        )

    def pipeline(self, run: Pass) -> ray.data.Dataset:
        """Stream the clips that are not done, decode them to packets, mine these; reports come back."""
        clips = self._packet_clips(run)
        self._listed_by = self._listed_by or run.state

        rows = self._listing.undone(run)
        rows = cut_blocks(rows, rows_at_a_time=clips)
        packets = map_tables(
            rows,
            decode_packets,
            cpus=DECODE_CPUS,
            tells=run.state,
            rows_at_a_time=clips,
            sample_rate=self.weights.specifications.sample_rate,
            packet_clips=clips,
            storage=self.request.storage,
            state=run.state,
        )
        return map_with_actors(
            packets,
            MinePackets,
            pool=run.pool,
            state=run.state,
            is_isolated=run.is_isolated,
            request=self.request,
            sample_rate=self.weights.specifications.sample_rate,
            threads=run.pool.threads,
            make_miner=self.make_miner,
        )

    def read(self, record: dict[str, Any]) -> Iterator[Increment]:
        """See `Job`."""
        report = MiningReport.from_record(record)
        for container in report.containers:
            if len(self._containers) < _MOST_CONTAINERS:
                self._containers[container] = None
        yield report.increment()

    def quarantine(self, run: Pass) -> Iterator[Increment]:
        """See `Job`; they become rejects."""
        missing = rows_of(
            self._listing.undone(run), CLIP_COLUMNS, at_most=run.missing, are_items=without_containers
        )
        if missing is None:
            # Some have come since the last pass, and nobody tells which: the next run tries all of them.
            yield Increment(unfinished=run.missing, unfinished_reason=STILL_GROWING_REASON)
            return
        output = self.output

        def commit() -> MiningReport:
            return quarantine_clips(missing, output=output, reason=POISON_REASON)

        yield run_on_worker(commit, tells=run.state).increment()

    def finalise(self, *, is_complete: bool) -> Iterator[Increment]:
        """See `Job`; clips that no container held become rejects, and the rest gets a manifest and a page."""
        request, options, output = self.request, self.options, self.output
        manifest_of = manifest_maker(request, weights=self.weights, vocabulary=self.vocabulary)
        labels = self.vocabulary.classes.labels

        def finish(table: SegmentTable) -> tuple[int, MiningTotals]:
            chosen = selected_clips(options, clips=len(table))
            missing = note_missing(output, table=table, chosen=chosen) if is_complete else 0
            return missing, settle(
                output, table=table, manifest_of=manifest_of, is_alone=options.shard is None
            )

        def report() -> str:
            return write_mining_report(output, labels=labels)

        # What the listing has told comes first: a stop may leave no time for more.
        if self._listed_by is not None:
            self._earlier = ray.get(self._listed_by.earlier.remote())
        changed, no_more_mined = self._earlier.changed.count, self._earlier.skipped
        if request.changed == "fail" and changed:
            yield Increment(failed=changed, failures={_CHANGED: changed})
        elif changed:  # they count as what became of them in this run
            yield Increment(skipped=no_more_mined, failed_before=-(changed + no_more_mined))
        missing, self._totals = run_on_worker(finish, self._listing.table, tells=self.tells)
        if missing:
            yield Increment(failed=missing, failures={_NOT_THERE: missing}, amounts={"missing": missing})
        if request.report and self._totals.anchors and not is_ending(self.tells):
            self.report = run_on_worker(report, tells=self.tells)

    def summary(self, report: RunReport) -> MiningSummary:
        """See `Job`."""
        counters, request = report.counters, self.request
        return MiningSummary(
            run_id=report.facts.run_id,
            segments=request.segments,
            audio=request.audio,
            output=request.output,
            weights_name=report.facts.weights_name,
            software_version=VERSION,
            ray_version=ray.__version__,
            started_at=report.started_at,
            ended_at=report.ended_at,
            wall_seconds=report.wall_seconds,
            audio_hours=counters.audio_seconds / 3600,
            mined=counters.done,
            failed=counters.failed,
            missing=int(counters.amounts["missing"]),
            unfinished=counters.unfinished,
            skipped=counters.skipped,
            changed=self._earlier.changed.record(),
            failed_before=counters.failed_before,
            anchors=int(counters.amounts["anchors"]),
            stages=counters.stage_summaries(report.stage_workers),
            failures=counters.failures.most_common(),
            broken_containers=tuple(self._containers),
            totals=self._totals,
        )

    @property
    def source(self) -> str:
        """See `Job`."""
        return self.request.audio

    def facts(self) -> RunFacts:
        """Read the segment CSVs, in a task: only a reference to their table comes back."""
        request, vocabulary = self.request, self.vocabulary

        def load() -> tuple[SegmentTable, tuple[int, str]]:
            table, sha256 = load_labels(request, vocabulary)
            return table, (len(table), sha256)

        table, (clips, sha256) = split_on_worker(load, tells=self.tells)
        self._listing = ClipListing(
            readers=self._source.readers,
            table=table,
            clips=clips,
            options=self.options,
            changed=request.changed,
        )
        return run_facts(request, weights=self.weights, vocabulary=vocabulary, segments_sha256=sha256)

    def ledger_reader(self) -> Callable[[], tuple[MiningLedger, LedgerFacts]]:
        """See `Job`."""
        output, options, clips = self.output, self.options, self._listing.clips
        may_repeat = self.request.changed == "redo"

        def read() -> tuple[MiningLedger, LedgerFacts]:
            ledger = read_ledger(output, clips=clips)
            chosen = selected_clips(options, clips=clips)
            mined = int((ledger.mined & chosen).sum())
            failed = 0 if options.retry_failed else int((ledger.failed & chosen).sum())
            done = 0 if may_repeat else mined + failed
            return ledger, LedgerFacts(
                earlier=Increment(skipped=mined, failed_before=failed), most_actors=int(chosen.sum()) - done
            )

        return read

    def is_one_by_one(self, run: Pass) -> bool:
        """See `Job`; very many missing clips are retried in batches."""
        return self._packet_clips(run) == 1

    def _packet_clips(self, run: Pass) -> int:
        batch_size = self.request.settings.batch_size
        if run.is_isolated:
            return retried_clips(run.missing, batch_size=batch_size)
        return packet_clips(self._listing.clips, actors=run.pool.actors, batch_size=batch_size)
