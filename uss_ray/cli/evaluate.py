"""`uss-ray evaluate mining`: how good the anchors are that weights mine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import Field

from uss_ray.cli.command import Command
from uss_ray.config import Location, Name, Settings
from uss_ray.mining.settings import MiningSettings
from uss_ray.weights import STARTER, WeightsName

_DATA = "Data set folder: audio/<split>, metadata/<split>_segments.csv."
_RESULT = "JSON file for the result."


class EvaluateMining(Settings):
    """Measure how much of an anchor its true event covers, mined against random, where events are known."""

    data: Location = Field(description=_DATA)
    weights: WeightsName = STARTER
    split: Name = Field(default="eval", description="Split to mine; choose settings on train.")
    settings: MiningSettings = Field(default_factory=MiningSettings, description="How anchors are mined.")
    output: Location | None = Field(default=None, description=_RESULT)


MINING: Final = Command(
    name="evaluate mining",
    model=EvaluateMining,
    positionals={"data": "DATA"},
    short={"output": "-o"},
    names={
        "settings.anchors_per_label": "per-label",
        "settings.min_purity": "purity",
        "settings.silence.anchor_rejected_below_rms_dbfs": "silence",
    },
    aliases={"--min-purity": "--purity", "--anchors-per-label": "--per-label"},
)


def evaluate_mining(arguments: Sequence[str]) -> int:
    """Mine, compare, show, and write the result."""
    asked, _ = MINING.read(arguments)

    from uss_ray.cli.display import progress_bar, say, show_table
    from uss_ray.evaluation import coverage
    from uss_ray.ontology.vocabulary import Vocabulary
    from uss_ray.store.store import Store
    from uss_ray.weights.locate import load_weights

    vocabulary = Vocabulary.load()
    with progress_bar("Mining", unit="clips") as advance:
        result = coverage.evaluate_mining(
            Path(asked.data),
            weights=load_weights(asked.weights),
            vocabulary=vocabulary,
            settings=asked.settings,
            split=asked.split,
            progress=advance,
        )
    rows = [
        (
            vocabulary.ontology.node(score.class_id).label,
            f"{score.mined:.2f}",
            f"{score.random:.2f}",
            f"{score.best:.2f}",
            f"{score.kept}/{score.places}",
            "" if score.kept_mined is None else f"{score.kept_mined:.2f}",
        )
        for score in sorted(result.classes, key=lambda score: -score.mined)
    ]
    columns = ("Class", "Mined", "Random", "Best", "Kept", "Mined, kept")
    show_table(
        columns, rows, title=f"{result.weights}, coverage of anchors, {asked.split}", right=columns[1:]
    )
    for name, means in (("All labels", result.everything), ("Kept anchors", result.kept)):
        say(
            f"{name}: mean over {means.places} anchors: mined {means.mined:.3f}, random {means.random:.3f}, "
            f"best {means.best:.3f}; over {means.classes} classes: mined {means.mined_by_class:.3f}, "
            f"random {means.random_by_class:.3f}, best {means.best_by_class:.3f}"
        )
    say(f"Left out: {result.labels_without_event} labels without a true event. {result.metric}")
    if asked.output is not None:
        Store(asked.output).put(result.to_json().encode())
        say(f"Result: {asked.output}")
    return 0
