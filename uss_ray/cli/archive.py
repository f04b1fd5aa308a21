"""`uss-ray archive`: every recording of an archive, with Ray; begun, resumed or only planned."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from uss_ray.cli import options
from uss_ray.cli.display import say, show_table
from uss_ray.cli.separate import show_matches
from uss_ray.errors import ConfigError

if TYPE_CHECKING:
    from uss_ray.pipelines.archive.job import ArchiveOptions, ArchiveResult, Progress, ProgressHook
    from uss_ray.pipelines.archive.outcome import Outcome
    from uss_ray.pipelines.request import SeparationRequest

_LINE_SECONDS = 30.0  # between lines of progress where there is no terminal
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
    max_failed_fraction: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of failures that still counts as success.")
    ] = 1.0,
    actors: Annotated[
        int | None, typer.Option(min=1, help="Workers; one a GPU, or as many as there are CPUs for.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of each worker.", show_default="2")
    ] = None,
    batch_size: options.BatchSize = None,
    span_seconds: Annotated[
        int | None,
        typer.Option(min=1, help="Longest stretch separated by one worker at a time.", show_default="300"),
    ] = None,
    ontology: options.OntologyFile = None,
    class_list: options.ClassListFile = None,
    endpoint: options.Endpoint = None,
    storage_profile: options.StorageProfile = None,
    region: options.Region = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster; without it RAY_ADDRESS or a local Ray.")
    ] = None,
) -> None:
    """Separate every recording of an archive with Ray, or go on where the same command ended before.

    The exit code is 0 if every recording was separated, 8 if some were not, 9 if none was.
    """
    from uss_ray.pipelines.archive.job import ArchiveOptions, separate_archive
    from uss_ray.storage import uri

    request = options.make_request(
        output=uri.join(output, version) if version else output,
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
        span_seconds=span_seconds,
        ontology=ontology,
        class_list=class_list,
        endpoint=endpoint,
        storage_profile=storage_profile,
        region=region,
    )
    chosen = ArchiveOptions(
        actors=actors,
        threads=threads,
        address=address,
        shard=_parse_shard(shard),
        limit=limit,
        retry_failed=retry_failed,
        max_failed_fraction=max_failed_fraction,
    )
    if dry_run:
        show_plan(archive_location, request, chosen)
        return
    with progress_of_archive() as on_progress:
        result = separate_archive(archive_location, request=request, options=chosen, on_progress=on_progress)
    show_archive(result, has_reports=request.report)
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


def show_plan(location: str, request: SeparationRequest, chosen: ArchiveOptions) -> None:
    """Print what there is to do, without doing it."""
    from uss_ray.pipelines.archive.ledger import read_ledger
    from uss_ray.pipelines.listing import open_listing
    from uss_ray.pipelines.plan import plan_archive

    request.storage.apply()
    listing = open_listing(location, shard=chosen.shard, limit=chosen.limit)
    ledger = read_ledger(request.output)
    done = ledger.separated if chosen.retry_failed else ledger.known
    for line in plan_archive(listing, request=request, done=done).lines():
        say(line)


@contextmanager
def progress_of_archive() -> Iterator[ProgressHook]:
    """Show how far a run is: a bar on a terminal, else a line now and then; on stderr."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    started = last = time.monotonic()
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("recordings", total=None, told="")

        def show(progress: Progress) -> None:
            nonlocal last
            now = time.monotonic()
            told = progress_line(progress, seconds=now - started)
            bar.update(task, completed=progress.finished, total=progress.found, told=told)
            if not console.is_terminal and now - last >= _LINE_SECONDS:
                last = now
                sys.stderr.write(f"{told}\n")

        yield show


def progress_line(progress: Progress, *, seconds: float) -> str:
    """Tell how far a run is: recordings, hours of sound, hours an hour, failures and the time that is left."""
    hours = progress.audio_seconds / 3600
    rate = progress.audio_seconds / seconds if seconds > 0 else 0.0
    left = seconds / progress.finished * (progress.found - progress.finished) if progress.finished else 0.0
    parts = [
        f"{progress.finished}/{progress.found}",
        f"{hours:.2f} h of sound",
        f"{rate:.1f} h/h",
        f"{progress.failed} failed",
        f"{_duration(left)} left",
    ]
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _parse_shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal()):
        raise ConfigError("--shard", expected="I/N, such as 1/8", found=repr(text))
    return int(part), int(parts)
