"""`uss-ray separate` and `uss-ray archive`: one recording without Ray, or all of an archive with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from uss_ray.cli import options
from uss_ray.cli.display import progress_bar, say, show_table

if TYPE_CHECKING:
    from uss_ray.ontology.vocabulary import TextMatch
    from uss_ray.pipelines.outcome import Outcome
    from uss_ray.pipelines.separate_archive import ArchiveResult

_ROWS_SHOWN = 60
_OTHERS_SHOWN = 3
_STARTER = "starter"


def separate(
    recording: Annotated[str, typer.Argument(help="Path or URI of the recording.", show_default=False)],
    output: Annotated[
        str, typer.Option("-o", "--output", help="Folder or URI of the results.", show_default=False)
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
    no_residual: options.NoResidual = False,
    no_report: options.NoReport = False,
    overwrite: options.Overwrite = False,
    ontology: options.OntologyFile = None,
    class_list: options.ClassListFile = None,
) -> None:
    """Separate one recording into the sounds in it."""
    from uss_ray.pipelines.listing import single_recording
    from uss_ray.pipelines.separate_one import RecordingSeparator, refuse_existing
    from uss_ray.results.summary import summary_table

    request = options.make_request(
        output=output,
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
        residual=not no_residual,
        report=not no_report,
        overwrite=overwrite,
        ontology=ontology,
        class_list=class_list,
    )
    item = single_recording(recording)
    if not overwrite:
        refuse_existing(output, recording=item)
    separator = RecordingSeparator(request)
    show_matches(separator.matches)
    with progress_bar(item.recording_id, unit="s") as advance:
        separated = separator.separate(item, progress=advance)
    summary = summary_table(separated.rows)
    kept = [column for column in range(len(summary.columns)) if summary.columns[column] != "Recording"]
    show_table(
        [summary.columns[column] for column in kept],
        [[line[column] for column in kept] for line in summary.lines],
        title=f"{item.recording_id}: {separated.seconds:.1f} s in {separated.processing_seconds:.1f} s",
        right=("Level", "Probability", "Active", "Level dB"),
    )
    say(", ".join(f"{count} {status}" for status, count in sorted(summary.counts.items())))
    say(f"Results: {separated.folder}")
    if separated.report:
        say(f"Report:  {separated.report}")


def archive(
    archive_location: Annotated[
        str, typer.Argument(metavar="INPUT", help="Folder or URI.", show_default=False)
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
    no_residual: options.NoResidual = False,
    no_report: options.NoReport = False,
    overwrite: options.Overwrite = False,
    ontology: options.OntologyFile = None,
    class_list: options.ClassListFile = None,
    actors: Annotated[int | None, typer.Option(min=1, help="Workers; one a GPU or one for two CPUs.")] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster; without it RAY_ADDRESS or a local Ray.")
    ] = None,
) -> None:
    """Separate every recording of an archive with Ray.

    The exit code is 0 if every recording was separated, 8 if some failed, 9 if all did.
    """
    from uss_ray.pipelines.separate_archive import separate_archive

    request = options.make_request(
        output=output,
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
        residual=not no_residual,
        report=not no_report,
        overwrite=overwrite,
        ontology=ontology,
        class_list=class_list,
    )
    done = 0
    with progress_bar(archive_location, unit="recordings") as advance:

        def count(_outcome: Outcome, total: int) -> None:
            nonlocal done
            done += 1
            advance(done, total)

        result = separate_archive(
            archive_location, request=request, actors=actors, address=address, on_outcome=count
        )
    show_archive(result)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def show_archive(result: ArchiveResult) -> None:
    """Print a line for each recording, the failed ones first, and where the results are."""
    show_matches(result.matches)
    ordered = sorted(result.outcomes, key=lambda outcome: outcome.status != "failed")
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
            for outcome in ordered[:_ROWS_SHOWN]
        ],
        title=f"Separated {len(result.outcomes) - len(result.failed)} of {len(result.outcomes)} recordings",
        right=("Length s", "Took s", "Stems"),
    )
    if len(ordered) > _ROWS_SHOWN:
        say(f"… and {len(ordered) - _ROWS_SHOWN} more")
    stems = sum(outcome.written for outcome in result.outcomes)
    seconds = sum(outcome.seconds for outcome in result.outcomes)
    say(f"{stems} stems from {seconds:.0f} s of sound; failed: {len(result.failed)}")
    say(f"Results: {result.output}/<recording>/level-<n>/<sound>.<format>")
    say(f"Index:   {result.output}/index/*.parquet")
    if any(outcome.report for outcome in result.outcomes):
        say(f"Reports: {result.output}/<recording>/report.html")


def show_matches(matches: tuple[tuple[str, TextMatch], ...]) -> None:
    """Say what each free text was taken for, and what else it might have been."""
    for text, match in matches:
        others = ", ".join(candidate.node.label for candidate in match.runners_up[:_OTHERS_SHOWN])
        rest = f"; next best: {others}" if others else ""
        say(f"'{text}' is taken as {match.node.label} ({match.node.node_id}), score {match.score:.2f}{rest}")
