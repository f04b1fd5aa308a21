"""`uss-ray mine`: anchors out of weakly labelled clips, with Ray; begun or resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from uss_ray.cli import options
from uss_ray.cli.arguments import parse_shard
from uss_ray.cli.display import say, show_table
from uss_ray.cli.run_progress import run_progress
from uss_ray.errors import ConfigError

if TYPE_CHECKING:
    from uss_ray.mining.settings import MiningSettings
    from uss_ray.pipelines.mining.job import MiningResult

_STARTER = "starter"
_FEWEST_PLACES = 3  # a segment CSV, the audio, the output
_REASONS_SHOWN = 10


def mine(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="SEGMENTS_CSV... AUDIO OUTPUT",
            help="AudioSet's segment CSVs; the clips: folder, URI, .tar, .parquet or .h5; where the anchors go.",
            show_default=False,
        ),
    ],
    detector: Annotated[
        str,
        typer.Option(
            "--detector", help="Name, folder or URI of weights with a detector: starter, PANNs, HTS-AT."
        ),
    ] = _STARTER,
    mode: Annotated[
        str | None,
        typer.Option("--mode", help="paper: where the class is most probable; random.", show_default="paper"),
    ] = None,
    profile: Annotated[
        str, typer.Option("--profile", help="default, or published: the paper's, which rejects nothing.")
    ] = "default",
    per_label: Annotated[
        int | None,
        typer.Option("--per-label", help="Most anchors of a label of a clip.", show_default="1"),
    ] = None,
    min_probability: Annotated[
        float | None,
        typer.Option("--min-probability", help="Least score of an anchor, 0 to 1.", show_default="0.1"),
    ] = None,
    silence: Annotated[
        float | None,
        typer.Option("--silence", help="Level in dBFS below which it is silence.", show_default="-60"),
    ] = None,
    purity: Annotated[
        float | None,
        typer.Option("--purity", help="Least purity of an anchor, 0 to 1.", show_default="0"),
    ] = None,
    conditions: Annotated[
        str | None,
        typer.Option(
            "--conditions",
            help="What the query net makes of each anchor: none, soft, latent or both.",
            show_default="none",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of --mode random.", show_default="0")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first clips, by their ids.")] = None,
    shard: Annotated[
        str | None, typer.Option(help="I/N: only the I-th of N parts, for a job of its own each.")
    ] = None,
    container: Annotated[
        str | None, typer.Option("--container", help="files, tar, parquet or hdf5; default: by the names.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id-column", help="Parquet column with clip ids.")
    ] = None,
    audio_column: Annotated[
        str | None, typer.Option("--audio-column", help="Parquet column with audio.")
    ] = None,
    actors: options.Actors = None,
    actors_per_gpu: options.ActorsPerGpu = None,
    threads: options.Threads = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", min=1, help="Clips in one step of the detector; always full.", show_default="4"
        ),
    ] = None,
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = "float32",
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Compile the networks on each worker; needs a C++ compiler there."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Only the clips that were missing or broken before.")
    ] = False,
    max_failed_fraction: options.MaxFailedFraction = 1.0,
    overwrite: options.Overwrite = False,
    version: Annotated[
        str | None,
        typer.Option("--version", help="Folder of OUTPUT for these results, beside other versions."),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not write the HTML page.")] = False,
    ontology: options.OntologyFile = None,
    class_list: options.ClassListFile = None,
    endpoint: options.Endpoint = None,
    storage_profile: options.StorageProfile = None,
    region: options.Region = None,
    patience: options.Patience = None,
    address: options.Address = None,
) -> None:
    """Mine anchors from weakly labelled clips with Ray, or go on where the same command ended before.

    The exit code is 0 if every clip was mined, 8 if some were missing or broken, 9 if none was mined.
    """
    from uss_ray.datasets.containers.options import ParquetColumns
    from uss_ray.pipelines.mining.job import mine_archive
    from uss_ray.pipelines.mining.request import MiningRequest
    from uss_ray.pipelines.runtime.options import JobOptions
    from uss_ray.store.store import Store, StoreOptions

    if len(places) < _FEWEST_PLACES:
        raise ConfigError("mine", expected="SEGMENTS_CSV... AUDIO OUTPUT", found=" ".join(places))
    *segments, audio, output = places
    settings = make_mining_settings(
        profile=profile,
        silence=silence,
        mode=mode,
        anchors_per_label=per_label,
        min_probability=min_probability,
        min_purity=purity,
        conditions=conditions,
        batch_size=batch_size,
        seed=seed,
    )
    unchecked: dict[str, Any] = {"container": container, "device": device, "precision": precision}
    request = MiningRequest(
        segments=tuple(segments),
        audio=audio,
        output=str(Store(output) / version) if version else output,
        weights=detector,
        settings=settings,
        compiled=compiled,
        columns=ParquetColumns(clip_id=id_column, audio=audio_column),
        overwrite=overwrite,
        report=not no_report,
        ontology=ontology,
        class_list=class_list,
        storage=StoreOptions(
            endpoint=endpoint, profile=storage_profile, region=region, patience_seconds=patience
        ),
        **unchecked,  # the request checks them
    )
    chosen = JobOptions(
        actors=actors,
        actors_per_gpu=actors_per_gpu,
        threads=threads,
        address=address,
        limit=limit,
        shard=parse_shard(shard),
        retry_failed=retry_failed,
        max_failed_fraction=max_failed_fraction,
    )
    with run_progress("clips") as on_progress:
        result = mine_archive(request, options=chosen, on_progress=on_progress)
    show_mining(result)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def make_mining_settings(*, profile: str, silence: float | None = None, **changes: Any) -> MiningSettings:
    """Take a profile and change what was asked for; None leaves it as it is.

    Raises
    ------
    ConfigError
        If the profile is unknown or a value is out of its range.
    """
    from uss_ray.mining.settings import MiningSettings

    profiles = {"default": MiningSettings, "published": MiningSettings.published}
    if profile not in profiles:
        raise ConfigError("--profile", expected=" or ".join(profiles), found=repr(profile))
    asked = {name: value for name, value in changes.items() if value is not None}
    if silence is not None:
        asked["silence"] = {"anchor_rejected_below_rms_dbfs": silence}
    return profiles[profile]().replace(**asked)


def show_mining(result: MiningResult) -> None:
    """Print what was mined, what was not and why, and where the anchors are."""
    summary, totals = result.summary, result.summary.totals
    rejects = [(reason, str(count)) for reason, count in totals.rejects.items()]
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
    say(
        f"{totals.anchors} anchors of {totals.classes} classes from {totals.clips} clips,"
        f" {totals.shards} shards, {totals.shard_bytes / 1e6:.1f} MB"
    )
    if result.signal_number is not None:
        say("Stopped: what was in flight is finished; the same command goes on.")
    elif summary.unfinished:
        say(
            f"{summary.unfinished} clips are not done ({result.tally.last_unfinished}); the same command goes on."
        )
    say(f"Anchors: {result.output}/anchors/*.parquet, manifest.json, summary.json")
    say(f"Rejects: {result.output}/rejects/*.parquet")
    if result.report is not None:
        say(f"Report:  {result.report}")
