"""`uss-ray separate`: recordings one after the other, without Ray."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, field_validator

from uss_ray.api.request import SeparationRequest
from uss_ray.cli.command import JSON, STORAGE_NAME, Command
from uss_ray.cli.notes import is_quiet, note, note_loading, write_json
from uss_ray.config import Location, Settings
from uss_ray.errors import ConfigError
from uss_ray.separation.settings import SeparationSettings
from uss_ray.wording import plain_lines

if TYPE_CHECKING:
    from uss_ray.api.inputs import Input
    from uss_ray.api.several import NotSeparated
    from uss_ray.api.sounds import SeparatedRecording
    from uss_ray.results.options import WriteOptions
    from uss_ray.results.passed_over import PassedOver

_TOLD = (
    "node_id",
    "label",
    "level",
    "kind",
    "status",
    "probability",
    "active_seconds",
    "level_db",
    "stem_uri",
    "reason",
)


class SeparateOne(Settings):
    """Separate recordings into the sounds in them.

    The exit code is 0 if every recording was separated; of several, 8 if some were not, 9 if none was.
    """

    recording: tuple[Location, ...] = Field(
        min_length=1,
        description="Paths or URIs of recordings, folders of them, or - for standard input; or alone, a YAML file of "
        "settings.",
    )
    request: SeparationRequest = Field(description="What to do with them.")

    @field_validator("recording", mode="before")
    @classmethod
    def _of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


NAMES: Final = {
    "request.query.texts": "text",
    "request.query.example_folder": "query-dir",
    "request.settings.channel_mode": "channels",
    "request.settings.mixture_consistency": "consistency",
    "request.write.stem_format": "format",
    "request.storage": STORAGE_NAME,
}
# what other commands, or other programs, call the same
ALIASES: Final = {
    "--class": "--classes",
    "--level": "--levels",
    "--texts": "--text",
    "--examples": "--query-dir",
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
    positionals={"recording": "RECORDING..."},
    names=NAMES | {"request.span_seconds": None, "request.changed": None},
    short={"request.output": "-o"},
    aliases=ALIASES,
    lists=LISTS,
    extras={"json": JSON},
    profiles={"published": published},
    takes_file=True,
)


def run(arguments: Sequence[str]) -> int:
    """Separate, and show what came out."""
    asked, extras = COMMAND.read(arguments)
    note_loading("the networks")
    with TemporaryDirectory(prefix="uss-ray-") as folder, ExitStack() as files:
        return _run(asked, Path(folder), files, as_json="json" in extras)


def _run(asked: SeparateOne, folder: Path, files: ExitStack, *, as_json: bool) -> int:
    from uss_ray.cli.pipes import PIPE, check_stdout, receive, send

    request = asked.request
    to_stdout = request.output == PIPE
    if to_stdout:
        check_stdout()
        request = _for_one_stem(request, folder=folder / "out")
    locations = [
        files.enter_context(receive(folder).open("rb")) if place == PIPE else place
        for place in asked.recording
    ]

    from uss_ray.api.publisher import write_page
    from uss_ray.api.separator import RecordingSeparator
    from uss_ray.api.several import done_before, recordings_at, separate_each
    from uss_ray.cli.display import progress_bar, show_matches
    from uss_ray.pipelines.archive.ledger import FAILED_LIST_NAME, settle_failures
    from uss_ray.pipelines.runtime.counters import NOTHING_DONE, PARTLY_DONE
    from uss_ray.results.passed_over import PassedOver

    left_out = PassedOver()
    recordings = recordings_at(locations, request=request, unlisted=left_out.add_unlisted)
    partly = _left_out(left_out)
    if to_stdout and len(recordings) > 1:
        raise ConfigError("-o -", expected="one recording", found=str(len(recordings)))
    separator = RecordingSeparator(request)
    show_matches(separator.matches)
    if len(locations) == len(recordings) == 1:
        with progress_bar(recordings[0].recording.recording_id, unit="s") as advance:
            separated = separator.separate(recordings[0], progress=advance)
        if to_stdout:
            send(_stem_of(separated, recordings[0], folder=folder, write=request.write))
        else:
            write_page(request.output_store, write=request.write, tell=note)
            _tell(separated, as_json=as_json)
        return partly
    counts = Counter[str]()
    done = done_before(separator, recordings)
    try:
        for number, given in enumerate(recordings, start=1):
            title = f"{number}/{len(recordings)} {given.recording.recording_id}"
            with progress_bar(title, unit="s") as advance:
                (outcome,) = separate_each(separator, [given], progress=advance, done=done)
            counts[_tell_of_several(outcome, as_json=as_json)] += 1
    except SystemExit:
        note(f"Stopped: {counts.total()} of {len(recordings)} are done; the same command goes on.")
        raise
    if counts["separated"]:
        write_page(request.output_store, write=request.write, tell=note)
    settle_failures(request.output_store)
    note(", ".join(f"{count} {what}" for what, count in counts.items()))
    if counts["failed"]:
        note(f"Failed:  {request.output_store / FAILED_LIST_NAME}")
        return PARTLY_DONE if counts["failed"] < len(recordings) else NOTHING_DONE
    return partly


def _left_out(left_out: PassedOver) -> int:
    """Tell what is in no listing; give the exit code for it."""
    from uss_ray.pipelines.runtime.counters import PARTLY_DONE

    if left_out.lost_count:
        sys.stderr.write(f"error: {plain_lines(left_out.unlisted_line())}\n")
        return PARTLY_DONE
    if left_out.unlisted_count:
        note(left_out.unlisted_line())
    return 0


def _for_one_stem(request: SeparationRequest, *, folder: Path) -> SeparationRequest:
    """Ask for the stem of the one sound that is named, and nothing else, in a folder that will go."""
    query = request.query
    named = (bool(query.classes) if query.union else len(query.classes)) + len(query.texts)
    count = named + (query.example_folder is not None)
    is_rest = query.exclude and not count
    if query.levels or query.events or not (count == 1 or is_rest):
        raise ConfigError(
            "-o -", expected="one sound to be asked for (--classes, --text ...)", found="several"
        )
    write = request.write.replace(write="stems", residual=False, report=False)
    return request.replace(output=str(folder), write=write)


def _stem_of(separated: SeparatedRecording, given: Input, *, folder: Path, write: WriteOptions) -> Path:
    """Give the file of the only stem; of a silent one, a file of silence that says the same of itself."""
    from uss_ray.audio.capacity import stem_encoding
    from uss_ray.audio.codec import StemWriter
    from uss_ray.results.stems.files import stem_tags

    (row,) = separated.rows
    for name in separated.paths(row.label):
        return Path(name)
    note(f"{row.label}: {row.status}")
    with given.opened() as opened:
        spec = opened.reader.tagged_spec()
    path = folder / "silence"
    chosen, subtype = stem_encoding(spec, stem_format=write.stem_format, item=row.recording_id)
    with StemWriter(
        path, sample_rate=spec.sample_rate, channels=spec.channels, format=chosen, subtype=subtype
    ) as writer:
        writer.write_silence(row.frames or 0)
        writer.close(stem_tags(spec.tags if write.metadata else None, label=row.label, key=row.node_id))
    return path


def _tell_of_several(outcome: SeparatedRecording | NotSeparated, *, as_json: bool) -> str:
    """Tell what became of one of several recordings, and give the word for it."""
    from uss_ray.api.several import NotSeparated

    if not isinstance(outcome, NotSeparated):
        _tell(outcome, as_json=as_json)
        return "separated"
    name = outcome.recording.recording_id
    if outcome.reason is None:
        note(f"{name}: has results already; --overwrite replaces them")
        return "done before"
    sys.stderr.write(f"error: {plain_lines(outcome.reason)}\n")
    if as_json:
        failed = {"recording_id": name, "recording_uri": outcome.recording.recording_uri}
        write_json(failed | {"status": "failed", "reason": outcome.reason})
    return "failed"


def _tell(separated: SeparatedRecording, *, as_json: bool) -> None:
    if as_json:
        write_json(as_record(separated))
    elif not is_quiet():
        show(separated)


def as_record(separated: SeparatedRecording) -> dict[str, Any]:
    """Turn what came of a recording into plain values: its rows but those of what was not found or is not known."""
    rows = [row.to_record() for row in separated.rows if row.status not in ("absent", "unknown")]
    return {
        "recording_id": separated.recording.recording_id,
        "recording_uri": separated.recording.recording_uri,
        "status": "separated",
        "seconds": separated.seconds,
        "processing_seconds": separated.processing_seconds,
        "folder": separated.folder,
        "report": separated.report,
        "rows": [{name: row[name] for name in _TOLD} for row in rows],
    }


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
