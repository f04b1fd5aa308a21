"""`uss-ray archive`: every recording of an archive, with Ray; begun, resumed or only planned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from uss_ray.cli import options
from uss_ray.cli.arguments import parse_shard
from uss_ray.cli.display import say, show_table
from uss_ray.cli.run_progress import run_progress
from uss_ray.cli.separate import show_matches

if TYPE_CHECKING:
    from uss_ray.api.request import SeparationRequest
    from uss_ray.pipelines.archive.job import ArchiveResult
    from uss_ray.pipelines.archive.outcome import Outcome
    from uss_ray.pipelines.runtime.options import JobOptions

_STARTER = "starter"


def archive(
    archive_location: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Folder, URI, manifest (Parquet, CSV, JSONL) or S3 Inventory report.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="Folder or URI of the results.", show_default=False)
    ],
    levels: options.Levels = None,
    classes: options.Classes = None,
    union: options.Union = False,
    texts: options.Texts = None,
    query_dir: options.QueryDir = None,
    exclude: options.Exclude = None,
    weights: options.WeightsName = _STARTER,
    threshold: options.Threshold = None,
    condition: options.Condition = None,
    channels: options.Channels = None,
    consistency: options.Consistency = False,
    profile: options.Profile = "default",
    stem_format: options.Format = "flac",
    device: options.DeviceName = "auto",
    write: options.Write = "stems",
    no_residual: options.NoResidual = False,
    no_report: options.NoReport = False,
    overwrite: options.Overwrite = False,
    version: Annotated[
        str | None,
        typer.Option("--version", help="Folder of OUTPUT for these results, beside other versions."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what there is to do and what it would take.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first recordings.")] = None,
    shard: Annotated[
        str | None, typer.Option(help="I/N: only the I-th of N parts, for a job of its own each.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Only the recordings that failed before.")
    ] = False,
    max_failed_fraction: options.MaxFailedFraction = 1.0,
    actors: options.Actors = None,
    actors_per_gpu: options.ActorsPerGpu = None,
    threads: options.Threads = None,
    batch_size: options.BatchSize = None,
    precision: options.PrecisionName = "float32",
    span_seconds: Annotated[
        int | None,
        typer.Option(min=1, help="Longest stretch separated by one worker at a time.", show_default="300"),
    ] = None,
    ontology: options.OntologyFile = None,
    class_list: options.ClassListFile = None,
    endpoint: options.Endpoint = None,
    storage_profile: options.StorageProfile = None,
    region: options.Region = None,
    patience: options.Patience = None,
    address: options.Address = None,
) -> None:
    """Separate every recording of an archive with Ray, or go on where the same command ended before.

    The exit code is 0 if every recording was separated, 8 if some were not, 9 if none was.
    """
    from uss_ray.pipelines.archive.job import separate_archive
    from uss_ray.pipelines.runtime.options import JobOptions
    from uss_ray.store.store import Store

    request = options.make_request(
        output=str(Store(output) / version) if version else output,
        levels=levels,
        classes=classes,
        union=union,
        texts=texts,
        query_dir=query_dir,
        exclude=exclude,
        weights=weights,
        threshold=threshold,
        condition=condition,
        channels=channels,
        consistency=consistency,
        profile=profile,
        stem_format=stem_format,
        device=device,
        write=write,
        residual=not no_residual,
        report=not no_report,
        overwrite=overwrite,
        batch_size=batch_size,
        precision=precision,
        span_seconds=span_seconds,
        ontology=ontology,
        class_list=class_list,
        endpoint=endpoint,
        storage_profile=storage_profile,
        region=region,
        patience=patience,
    )
    chosen = JobOptions(
        actors=actors,
        actors_per_gpu=actors_per_gpu,
        threads=threads,
        address=address,
        shard=parse_shard(shard),
        limit=limit,
        retry_failed=retry_failed,
        max_failed_fraction=max_failed_fraction,
    )
    if dry_run:
        show_plan(archive_location, request, chosen)
        return
    with run_progress("recordings") as on_progress:
        result = separate_archive(archive_location, request=request, options=chosen, on_progress=on_progress)
    show_archive(result, has_reports=request.write.report)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def show_archive(result: ArchiveResult, *, has_reports: bool) -> None:
    """Print a line for each of the first recordings, the failed ones first, and where the results are."""
    show_matches(result.matches)
    tally, counts = result.tally, result.summary.recordings
    shown: list[Outcome] = [*tally.failed_examples, *tally.examples]
    if shown:
        show_table(
            ("Recording", "Status", "Length s", "Took s", "Stems", "Loudest sounds"),
            [
                (
                    outcome.recording_id,
                    outcome.status,
                    f"{outcome.seconds:.1f}",
                    f"{outcome.processing_seconds:.1f}",
                    str(outcome.written),
                    outcome.reason or ", ".join(outcome.loudest) or "none",
                )
                for outcome in shown
            ],
            title=f"Separated {counts.separated} of {counts.total - counts.skipped} recordings",
            right=("Length s", "Took s", "Stems"),
        )
    if counts.separated + counts.failed > len(shown):
        say(f"… and {counts.separated + counts.failed - len(shown)} more")
    if counts.skipped:
        say(f"{counts.skipped} recordings were done before")
    say(f"{tally.stems['written']} stems from {tally.audio_seconds:.0f} s of sound; failed: {counts.failed}")
    if result.signal_number is not None:
        say("Stopped: what was in flight is finished; the same command goes on.")
    elif counts.unfinished:
        say(
            f"{counts.unfinished} recordings are not done ({tally.last_unfinished}); the same command goes on."
        )
    say(f"Results: {result.output}/<recording>/level-<n>/<sound>.<format>")
    say(f"Index:   {result.output}/index/*.parquet, summary.json, failed.jsonl")
    if has_reports and counts.separated:
        say(f"Reports: {result.output}/<recording>/report.html")


def show_plan(location: str, request: SeparationRequest, chosen: JobOptions) -> None:
    """Print what there is to do, without doing it."""
    from uss_ray.pipelines.archive.ledger import read_ledger
    from uss_ray.pipelines.archive.plan import plan_archive
    from uss_ray.sources.listing import open_listing
    from uss_ray.store.store import Store

    listing = open_listing(Store(location, request.storage), shard=chosen.shard, limit=chosen.limit)
    ledger = read_ledger(request.output_store)
    done = ledger.separated if chosen.retry_failed else ledger.known
    for line in plan_archive(listing, request=request, done=done).lines():
        say(line)
