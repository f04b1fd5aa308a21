"""`uss-ray anchors`: what becomes of mined anchors before they are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from uss_ray.cli.command import STORAGE_NAME, Command
from uss_ray.config import Settings
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.training.pack_request import PackRequest


class PackAnchors(Settings):
    """Pack the anchors of `uss-ray mine` for training: by class, in row groups of a megabyte, with a catalogue.

    The same command goes on where it ended. The exit code is 0 if the pack is whole, 8 or 9 if shards are not written.
    """

    request: PackRequest = Field(description="Which anchors, and where the pack goes.")
    options: JobOptions = Field(default_factory=JobOptions, description="How the job runs.")


PACK: Final = Command(
    name="anchors pack",
    model=PackAnchors,
    positionals={"request.anchors": "ANCHORS", "request.output": "PACK"},
    short={"request.output": "-o"},
    names={
        "request.storage": STORAGE_NAME,
        "options.limit": None,
        "options.shard": None,
        "options.follow_links": None,
        "options.retry_failed": None,
        "options.actors_per_gpu": None,
        "options.max_failed_fraction": None,
    },
    takes_file=True,
)


def pack(arguments: Sequence[str]) -> int:
    """Pack, and say what the pack holds."""
    asked, _ = PACK.read(arguments)

    from uss_ray.cli.display import say
    from uss_ray.cli.run_progress import run_progress
    from uss_ray.pipelines.training.packing_on_ray import pack_anchors

    with run_progress("shards") as on_progress:
        result = pack_anchors(asked.request, options=asked.options, on_progress=on_progress)
    summary = result.summary
    if summary.unfinished:
        say(
            f"{summary.unfinished} shards are not written ({result.counters.unfinished_reason});"
            " the same command goes on."
        )
    else:
        say(f"Pack: {result.output}, {summary.anchors} anchors in {summary.shards} shards")
    return result.exit_code
