"""`uss-ray archive`: every recording of an archive, with Ray; begun, resumed or only planned."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pydantic import Field

from uss_ray.api.request import SeparationRequest
from uss_ray.cli import separate
from uss_ray.cli.command import JSON, VERSION, Command, Extra
from uss_ray.cli.notes import is_quiet, note_loading, tell_failures
from uss_ray.config import Location, Settings
from uss_ray.errors import ConfigError
from uss_ray.pipelines.runtime.options import JobOptions

if TYPE_CHECKING:
    from uss_ray.pipelines.archive.job import ArchiveResult
    from uss_ray.pipelines.archive.outcome import Outcome


class SeparateArchive(Settings):
    """Separate every recording of an archive with Ray, or go on where the same command ended before.

    The exit code is 0 if every recording was separated, 8 if some were not, 9 if none was.
    """

    archive: Location = Field(
        description="Folder, URI, manifest (Parquet, CSV, JSONL) or S3 Inventory report; or alone, a YAML file of "
        "settings."
    )
    request: SeparationRequest = Field(description="What to do with each recording.")
    options: JobOptions = Field(default_factory=JobOptions, description="How the job runs.")


COMMAND: Final = Command(
    name="archive",
    model=SeparateArchive,
    positionals={"archive": "INPUT", "request.output": "OUTPUT"},
    names=separate.NAMES,
    short={"request.output": "-o"},
    aliases=separate.ALIASES,
    lists=separate.LISTS,
    extras={
        "json": JSON,
        "version": VERSION,
        "dry_run": Extra(help="Only say what there is to do and what it would give."),
        "trial": Extra(
            help="With --dry-run: separate excerpts of a few recordings to measure size and time."
        ),
    },
    profiles={"published": separate.published},
    takes_file=True,
)


def run(arguments: Sequence[str]) -> int:
    """Run the job, or plan it, and give its exit code."""
    asked, extras = COMMAND.read(arguments)
    if "trial" in extras and "dry_run" not in extras:
        raise ConfigError("--trial", expected="--dry-run beside it", found="none")
    if "dry_run" in extras:
        show_plan(asked, trial="trial" in extras)
        return 0

    note_loading("Ray")
    from uss_ray.cli.display import show_matches
    from uss_ray.cli.run_progress import run_progress
    from uss_ray.pipelines.archive.job import separate_archive

    with run_progress("recordings") as on_progress:
        result = separate_archive(
            asked.archive,
            request=asked.request,
            options=asked.options,
            on_progress=on_progress,
            on_matches=show_matches,
        )
    if "json" in extras:
        sys.stdout.write(result.summary.to_json().rstrip() + "\n")
    elif not is_quiet():
        show_archive(result, has_reports=asked.request.write.report)
    else:
        counts = result.summary.recordings
        tell_failures(
            counts.failed + counts.failed_before,
            unfinished=counts.unfinished,
            items="recordings",
            where=f"{result.output}/{result.summary_name}",
        )
    return result.exit_code


def show_archive(result: ArchiveResult, *, has_reports: bool) -> None:
    """Print a line for each of the first recordings, the failed ones first, and where the results are."""
    from uss_ray.cli.display import say, show_table

    counters, counts = result.counters, result.summary.recordings
    asked = counts.total - counts.skipped - counts.failed_before
    say(f"Separated {counts.separated} of {asked} recordings")
    shown: list[Outcome] = [*result.failed_examples, *result.examples]
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
            title="",
            right=("Length s", "Took s", "Stems"),
            below=("Recording", "Loudest sounds"),
        )
    if counts.separated + counts.failed > len(shown):
        say(f"… and {counts.separated + counts.failed - len(shown)} more")
    if counts.skipped:
        say(f"{counts.skipped} recordings were done before")
    if counts.failed_before:
        say(f"{counts.failed_before} recordings failed before, and count until --retry-failed separates them")
    if changed := result.summary.changed.get("count"):
        say(
            f"{changed} recordings have changed since they were separated (--changed); see {result.summary_name}"
        )
    if duplicates := result.summary.duplicates.get("count"):
        say(
            f"{duplicates} rows of the input have the id of another and were left out; see {result.summary_name}"
        )
    say(f"{result.summary.stems} stems from {counters.audio_seconds:.0f} s of sound; failed: {counts.failed}")
    if result.signal_number is not None:
        say("Stopped: what was in flight is finished; the same command goes on.")
    elif counts.unfinished:
        say(
            f"{counts.unfinished} recordings are not done ({counters.unfinished_reason});"
            " the same command goes on."
        )
    for line in result.passed_over.lines():
        say(f"{line}; see {result.summary_name}")
    say(f"Results: {result.output}/<recording>/<events or level-n>/<sound>.<format>")
    say(f"Index:   {result.output}/index/*.parquet, {result.summary_name}, failed.jsonl")
    if has_reports and counts.separated:
        say(f"Reports: {result.output}/index.html, {result.output}/<recording>/report.html")


def show_plan(asked: SeparateArchive, *, trial: bool = False) -> None:
    """Print what there is to do, without doing it."""
    from uss_ray.cli.display import say, show_matches
    from uss_ray.pipelines.archive.job import archive_job
    from uss_ray.pipelines.archive.ledger import read_ledger
    from uss_ray.pipelines.archive.plan import plan_archive

    job = archive_job(asked.archive, request=asked.request, options=asked.options, on_matches=show_matches)
    ledger = read_ledger(job.output) if job.goes_on else None
    plan = plan_archive(
        job.listing,
        request=job.request,
        ledger=ledger,
        retry_failed=asked.options.retry_failed,
        trial=trial,
    )
    for line in plan.lines():
        say(line)
