"""`uss-ray mine`: anchors out of weakly labelled clips, with Ray; begun or resumed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from uss_ray.cli.command import JSON, STORAGE_NAME, VERSION, Command
from uss_ray.cli.notes import is_quiet, note_loading, tell_failures
from uss_ray.config import Settings
from uss_ray.mining.settings import MiningSettings
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.runtime.options import JobOptions

if TYPE_CHECKING:
    from uss_ray.pipelines.mining.job import MiningResult

_REASONS_SHOWN = 10


class MineArchive(Settings):
    """Mine anchors from weakly labelled clips with Ray, or go on where the same command ended before.

    The exit code is 0 if every clip was mined, 8 if some were missing or broken, 9 if none was mined.
    """

    request: MiningRequest = Field(description="Which clips, and how they are mined.")
    options: JobOptions = Field(default_factory=JobOptions, description="How the job runs.")


def published() -> dict[str, Any]:
    """Give what the published profile lays over a file of settings."""
    return {"request": {"settings": MiningSettings.published().model_dump()}}


COMMAND: Final = Command(
    name="mine",
    model=MineArchive,
    positionals={
        "request.segments": "SEGMENTS_CSV...",
        "request.audio": "AUDIO",
        "request.output": "OUTPUT",
    },
    names={
        "request.weights": "detector",
        "request.settings.anchors_per_label": "per-label",
        "request.settings.min_purity": "purity",
        "request.settings.silence.anchor_rejected_below_rms_dbfs": "silence",
        "request.columns.clip_id": "id-column",
        "request.columns.audio": "audio-column",
        "request.compiled": "compile",
        "request.storage": STORAGE_NAME,
    },
    short={"request.output": "-o"},
    aliases={"--min-purity": "--purity", "--anchors-per-label": "--per-label", "--weights": "--detector"},
    extras={"json": JSON, "version": VERSION},
    profiles={"published": published},
    takes_file=True,
)


def run(arguments: Sequence[str]) -> int:
    """Run the job, and give its exit code."""
    asked, extras = COMMAND.read(arguments)

    note_loading("Ray")
    from uss_ray.cli.run_progress import run_progress
    from uss_ray.pipelines.mining.job import mine_archive

    with run_progress("clips") as on_progress:
        result = mine_archive(asked.request, options=asked.options, on_progress=on_progress)
    if "json" in extras:
        sys.stdout.write(result.summary.to_json().rstrip() + "\n")
    elif not is_quiet():
        show_mining(result)
    else:
        tell_failures(
            result.summary.failed + result.summary.failed_before,
            unfinished=result.summary.unfinished,
            items="clips",
            where=f"{result.output}/{result.summary_name}",
        )
    return result.exit_code


def show_mining(result: MiningResult) -> None:
    """Print what was mined, what was not and why, and where the anchors are."""
    from uss_ray.cli.display import say, show_table

    summary, totals = result.summary, result.summary.totals
    rejects = [(reason, str(count)) for reason, count in totals.rejects.items()] if totals else []
    if rejects:
        show_table(("Rejected", "Count"), rejects, title="What gave no anchor", right=("Count",))
    for failure, count in list(summary.failures.items())[:_REASONS_SHOWN]:
        say(f"{count} × {failure}")
    for container in summary.broken_containers[:_REASONS_SHOWN]:
        say(f"Broken container: {container}")
    say(
        f"Mined {summary.mined} clips, {summary.audio_hours:.2f} h of sound, {summary.clips_per_second:.1f} clips/s;"
        f" missing: {summary.missing}; broken: {summary.failed - summary.missing}"
    )
    if summary.skipped:
        say(f"{summary.skipped} clips were done before")
    if changed := summary.changed["count"]:
        say(f"{changed} clips have changed since they were mined (--changed); see {result.summary_name}")
    if summary.failed_before:
        say(f"{summary.failed_before} clips failed before, and count until --retry-failed mines them")
    if totals is not None:
        say(
            f"{totals.anchors} anchors of {totals.classes} classes from {totals.clips} clips,"
            f" {totals.shards} shards, {totals.shard_bytes / 1e6:.1f} MB"
        )
    if result.signal_number is not None:
        say("Stopped: what was in flight is finished; the same command goes on.")
    elif summary.unfinished:
        say(
            f"{summary.unfinished} clips are not done ({result.counters.unfinished_reason});"
            " the same command goes on."
        )
    say(f"Anchors: {result.output}/anchors/*.parquet, manifest.json, {result.summary_name}")
    say(f"Rejects: {result.output}/rejects/*.parquet")
    if result.report is not None:
        say(f"Report:  {result.report}")
