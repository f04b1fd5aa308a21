"""`uss-ray separate`: one recording, without Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from uss_ray.cli import options
from uss_ray.cli.display import progress_bar, say, show_table

if TYPE_CHECKING:
    from uss_ray.ontology.vocabulary import TextMatch

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
    write: options.Write = "stems",
    no_residual: options.NoResidual = False,
    no_report: options.NoReport = False,
    overwrite: options.Overwrite = False,
    batch_size: options.BatchSize = None,
    precision: options.PrecisionName = "float32",
    ontology: options.OntologyFile = None,
    class_list: options.ClassListFile = None,
    endpoint: options.Endpoint = None,
    storage_profile: options.StorageProfile = None,
    region: options.Region = None,
    patience: options.Patience = None,
) -> None:
    """Separate one recording into the sounds in it."""
    from uss_ray.api.separator import RecordingSeparator, refuse_existing
    from uss_ray.api.staging import check_output
    from uss_ray.results.report.summary import summary_table
    from uss_ray.sources.recordings import single_recording

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
        write=write,
        residual=not no_residual,
        report=not no_report,
        overwrite=overwrite,
        batch_size=batch_size,
        precision=precision,
        ontology=ontology,
        class_list=class_list,
        endpoint=endpoint,
        storage_profile=storage_profile,
        region=region,
        patience=patience,
    )
    item = single_recording(recording)
    check_output(request.output_store)
    if not overwrite:
        refuse_existing(request.output_store, recording=item)
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


def show_matches(matches: tuple[tuple[str, TextMatch], ...]) -> None:
    """Say what each free text was taken for, and what else it might have been."""
    for text, match in matches:
        others = ", ".join(candidate.node.label for candidate in match.runners_up[:_OTHERS_SHOWN])
        rest = f"; next best: {others}" if others else ""
        say(f"'{text}' is taken as {match.node.label} ({match.node.node_id}), score {match.score:.2f}{rest}")
