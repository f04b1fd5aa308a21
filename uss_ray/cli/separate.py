"""`uss-ray separate`: one recording, without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from uss_ray.api.request import SeparationRequest
from uss_ray.cli.command import STORAGE_NAME, Command
from uss_ray.config import Location, Settings
from uss_ray.separation.settings import SeparationSettings

if TYPE_CHECKING:
    from uss_ray.api.sounds import SeparatedRecording


class SeparateOne(Settings):
    """Separate one recording into the sounds in it."""

    recording: Location = Field(
        description="Path or URI of the recording; or alone, a YAML file of settings."
    )
    request: SeparationRequest = Field(description="What to do with it.")


NAMES: Final = {
    "request.query.texts": "text",
    "request.query.example_folder": "query-dir",
    "request.settings.channel_mode": "channels",
    "request.settings.mixture_consistency": "consistency",
    "request.write.stem_format": "format",
    "request.storage": STORAGE_NAME,
}
LISTS: Final = (
    "request.query.levels",
    "request.query.classes",
    "request.query.exclude",
    "request.write.labels",
)


def published() -> dict[str, Any]:
    """Give what the published profile lays over a file of settings."""
    return {"request": {"settings": SeparationSettings.published().model_dump()}}


COMMAND: Final = Command(
    name="separate",
    model=SeparateOne,
    positionals={"recording": "RECORDING"},
    names=NAMES | {"request.span_seconds": None, "request.changed": None},
    short={"request.output": "-o"},
    lists=LISTS,
    profiles={"published": published},
    takes_file=True,
)


def run(arguments: Sequence[str]) -> int:
    """Separate, and show what came out."""
    asked, _ = COMMAND.read(arguments)

    from uss_ray.api.separator import RecordingSeparator, checked_recording
    from uss_ray.cli.display import progress_bar, show_matches

    recording = checked_recording(asked.recording, request=asked.request)
    separator = RecordingSeparator(asked.request)
    show_matches(separator.matches)
    with progress_bar(recording.recording_id, unit="s") as advance:
        separated = separator.separate(recording, progress=advance)
    show(separated)
    return 0


def show(separated: SeparatedRecording) -> None:
    """Print a table of the sounds, and where the results are."""
    from uss_ray.cli.display import say, show_table
    from uss_ray.results.report.summary import summary_table

    summary = summary_table(separated.rows)
    kept = [column for column in range(len(summary.columns)) if summary.columns[column] != "Recording"]
    say(
        f"{separated.recording.recording_id}: {separated.seconds:.1f} s in {separated.processing_seconds:.1f} s"
    )
    show_table(
        [summary.columns[column] for column in kept],
        [[line[column] for column in kept] for line in summary.lines],
        title="",
        right=("Level", "Probability", "Active", "Level dB"),
        below=("Stem",),
    )
    say(", ".join(f"{count} {status}" for status, count in sorted(summary.counts.items())))
    say(f"Results: {separated.folder}")
    if separated.report:
        say(f"Report:  {separated.report}")
