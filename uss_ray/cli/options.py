"""The options that commands share, and the request that `separate` and `archive` make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from uss_ray.cli.arguments import parse_levels
from uss_ray.errors import ConfigError

if TYPE_CHECKING:
    from uss_ray.api.request import SeparationRequest
    from uss_ray.separation.settings import SeparationSettings

Levels = Annotated[
    list[str] | None,
    typer.Option(
        "--levels",
        help="Ontology levels, one stem a node: 1 2 3.",
        show_default="1 2 3 if nothing is asked for",
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option("--classes", help="Classes by index, id or label, one stem each: Speech /m/0jbk."),
]
Union = Annotated[bool, typer.Option("--union", help="One stem of all --classes together.")]
Texts = Annotated[
    list[str] | None, typer.Option("--text", help="A few words, such as 'dog barking'; may be repeated.")
]
QueryDir = Annotated[
    str | None, typer.Option("--query-dir", help="Folder of recordings of the wanted sound.")
]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", help="Classes to leave out of every stem.")]
WeightsName = Annotated[str, typer.Option("--weights", help="Name, folder or URI of the weights.")]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", help="Least probability of a sound that counts, 0 to 1.", show_default="0.2"),
]
Condition = Annotated[
    str | None, typer.Option("--condition", help="What steers the separator: auto, class-mean or detected.")
]
Channels = Annotated[
    str | None, typer.Option("--channels", help="Masks: one from the mid (mid), or independent.")
]
Consistency = Annotated[
    bool, typer.Option("--consistency", help="Make the stems of a level share out the mixture.")
]
Profile = Annotated[
    str, typer.Option("--profile", help="default, or published: as the released program does it.")
]
Format = Annotated[str, typer.Option("--format", help="Format of the stems: flac, wav, ogg or opus.")]
Write = Annotated[
    str,
    typer.Option(
        "--write", help="stems; active-spans: only where a sound is active; index-only: only what is where."
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, help="Rows in one step of a network on a GPU.", show_default="4"),
]
PrecisionName = Annotated[
    str,
    typer.Option("--precision", help="On a GPU: float32, tfloat32 or bfloat16, each faster and rougher."),
]
Actors = Annotated[
    int | None,
    typer.Option("--actors", min=1, help="Workers; as many as share the GPUs, or as there are CPUs for."),
]
ActorsPerGpu = Annotated[
    int | None,
    typer.Option("--actors-per-gpu", min=1, help="Workers that share a GPU.", show_default="4"),
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads of each worker.", show_default="1")
]
Address = Annotated[
    str | None, typer.Option("--address", help="Ray cluster; without it RAY_ADDRESS or a local Ray.")
]
MaxFailedFraction = Annotated[
    float,
    typer.Option(
        "--max-failed-fraction", min=0.0, max=1.0, help="Share of failures that still counts as success."
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option("--storage-endpoint", help="Address of an S3-compatible store; or AWS_ENDPOINT_URL."),
]
StorageProfile = Annotated[
    str | None,
    typer.Option("--storage-profile", help="Profile of the AWS configuration files; or AWS_PROFILE."),
]
Region = Annotated[
    str | None, typer.Option("--storage-region", help="Region of the store; or AWS_DEFAULT_REGION.")
]
Patience = Annotated[
    float | None,
    typer.Option(
        "--storage-patience",
        min=0,
        help="Seconds to wait out a store that fails; or USS_RAY_STORAGE_PATIENCE_SECONDS.",
        show_default="300",
    ),
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
NoResidual = Annotated[bool, typer.Option("--no-residual", help="Do not write what the stems leave over.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Do not write an HTML page for each recording.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")]
OntologyFile = Annotated[
    str | None, typer.Option("--ontology", help="Another ontology, in AudioSet's JSON format.")
]
ClassListFile = Annotated[
    str | None, typer.Option("--class-list", help="Its classes, in AudioSet's CSV format.")
]


def make_request(
    *,
    output: str,
    levels: list[str] | None,
    classes: list[str] | None,
    union: bool,
    texts: list[str] | None,
    query_dir: str | None,
    exclude: list[str] | None,
    weights: str,
    threshold: float | None,
    condition: str | None,
    channels: str | None,
    consistency: bool,
    profile: str,
    stem_format: str,
    device: str,
    residual: bool,
    report: bool,
    overwrite: bool,
    ontology: str | None,
    class_list: str | None,
    write: str = "stems",
    batch_size: int | None = None,
    precision: str = "float32",
    span_seconds: int | None = None,
    endpoint: str | None = None,
    storage_profile: str | None = None,
    region: str | None = None,
    patience: float | None = None,
) -> SeparationRequest:
    """Turn options into a request.

    Raises
    ------
    ConfigError
        If a value is out of its range or in conflict with another.
    """
    from uss_ray.api.request import Query, SeparationRequest
    from uss_ray.results.options import WriteOptions
    from uss_ray.separation.settings import NetworkSettings
    from uss_ray.store.options import StoreOptions

    query = Query(
        levels=parse_levels(levels or ()),
        classes=tuple(classes or ()),
        union=union,
        texts=tuple(texts or ()),
        example_folder=query_dir,
        exclude=tuple(exclude or ()),
    )
    settings = make_settings(
        profile=profile,
        threshold=threshold,
        condition=condition,
        channels=channels,
        consistency=consistency,
    )
    rows = {} if batch_size is None else {"batch_size": batch_size}
    unchecked: dict[str, Any] = {"device": device}  # the request does
    unchecked["networks"] = NetworkSettings.model_validate({"precision": precision, **rows})
    if span_seconds is not None:
        unchecked["span_seconds"] = span_seconds
    return SeparationRequest(
        output=output,
        query=query,
        weights=weights,
        settings=settings,
        write=WriteOptions.model_validate(
            {"stem_format": stem_format, "residual": residual, "write": write, "report": report}
        ),
        overwrite=overwrite,
        ontology=ontology,
        class_list=class_list,
        storage=StoreOptions(
            endpoint=endpoint, profile=storage_profile, region=region, patience_seconds=patience
        ),
        **unchecked,
    )


def make_settings(
    *,
    profile: str,
    threshold: float | None,
    condition: str | None,
    channels: str | None,
    consistency: bool,
) -> SeparationSettings:
    """Take a profile and change what was asked for; None and False leave it as it is.

    Raises
    ------
    ConfigError
        If the profile is unknown or a value is out of its range.
    """
    from uss_ray.separation.settings import SeparationSettings

    profiles = {"default": SeparationSettings, "published": SeparationSettings.published}
    if profile not in profiles:
        raise ConfigError("--profile", expected=" or ".join(profiles), found=repr(profile))
    changes: dict[str, Any] = {
        "threshold": threshold,
        "condition": condition,
        "channel_mode": channels,
        "mixture_consistency": consistency or None,
    }
    return profiles[profile]().replace(
        **{name: value for name, value in changes.items() if value is not None}
    )
