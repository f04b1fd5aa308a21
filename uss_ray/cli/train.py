"""`uss-ray train`: from weak labels to weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import Field

from uss_ray.cli.command import Command
from uss_ray.config import Location, Settings
from uss_ray.weights import STARTER


class TrainStarter(Settings):
    """Train tagger and separator on one machine, as the weights in the package were; from ANCHORS the latter."""

    source: Location = Field(
        description="Data set: audio/train, metadata/train_segments.csv; or anchors: `uss-ray mine --conditions soft`."
    )
    output: Location = Field(description="Weights folder to write.")
    work: Location = Field(
        default="runs/starter", description="Checkpoints; started again with the same folder, it goes on."
    )
    weights: Location = Field(
        default=STARTER, description="Those that mined ANCHORS; their tagger goes into the new ones."
    )


TRAIN_STARTER: Final = Command(
    name="train starter", model=TrainStarter, positionals={"source": "DATA|ANCHORS"}, short={"output": "-o"}
)


def train_starter(arguments: Sequence[str]) -> int:
    """Train, and say where the weights are."""
    asked, _ = TRAIN_STARTER.read(arguments)

    import logging

    from uss_ray.anchors.manifest import MANIFEST_NAME
    from uss_ray.cli.display import say
    from uss_ray.pipelines import starter

    logging.getLogger("uss_ray").setLevel(logging.INFO)
    source, output, work = Path(asked.source), Path(asked.output), Path(asked.work)
    if (source / MANIFEST_NAME).is_file():
        folder = starter.train_starter_from_anchors(source, output, weights=asked.weights, work=work)
    else:
        folder = starter.train_starter(source, output, work=work)
    say(f"Weights: {folder}")
    return 0
