"""`uss-ray weights`: list, show, fetch and import them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from uss_ray.cli.display import download_bar, say, show_table

if TYPE_CHECKING:
    from uss_ray.weights.importers.published import PublishedKind

weights_app = typer.Typer(help="List, show, fetch and import weights.", no_args_is_help=True)


@weights_app.command("list")
def list_weights() -> None:
    """List the weights that can be called by name."""
    from uss_ray.weights.locate import known_weights

    rows = [
        (
            known.name,
            known.content,
            "" if known.download_bytes is None else f"{known.download_bytes / 1e6:.0f} MB",
            str(known.folder or ("not fetched" if known.download_bytes else "missing")),
        )
        for known in known_weights()
    ]
    show_table(("Name", "What", "Download", "Where"), rows, title="Weights", right=("Download",))


@weights_app.command("show")
def show_weights(
    weights: Annotated[str, typer.Argument(help="Name, folder or URI.", show_default=False)],
) -> None:
    """Check weights and tell what they hold."""
    from uss_ray.weights.locate import describe_weights

    for name, value in describe_weights(weights).items():
        say(f"{name + ':':<14}{value}")


@weights_app.command("fetch")
def fetch_weights(
    name: Annotated[str, typer.Argument(help="A name of `weights list`.", show_default=False)],
) -> None:
    """Download published weights into the cache, resuming an earlier try, and import them."""
    from uss_ray.weights.locate import fetch_named

    with download_bar(name) as advance:
        folder = fetch_named(name, progress=advance)
    say(f"Weights: {folder}")


@weights_app.command("import")
def import_weights(
    file: Annotated[str, typer.Argument(help="A published .pth or .ckpt file.", show_default=False)],
    output: Annotated[
        str, typer.Option("-o", "--output", help="Weights folder to write.", show_default=False)
    ],
    kind: Annotated[
        str | None, typer.Option("--kind", help="What the file is, if its name does not say.")
    ] = None,
) -> None:
    """Turn a published file into a weights folder, every key accounted for."""
    from uss_ray.weights.importers.published import import_published

    folder = import_published(file, output, kind=cast("PublishedKind | None", kind))
    say(f"Weights: {folder}")
