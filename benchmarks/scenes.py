"""What a user gets of recordings whose sources are known: scenes of a list, separated by the engine at all levels.

python benchmarks/scenes.py DATA [--scenes 24] [--oracle] [--in-bands] [--list benchmarks/lists/scenes.parquet]
                            [--set NAME=VALUE]

DATA is the folder that holds audioset_mini and audioset_mini2; the list is that of `uss-ray evaluate list scenes`.
`--set` changes a separation setting, its value as JSON. `uss-ray evaluate run scenes` gives the same figures with
intervals; here forwards are counted, and `--oracle` asks for what is there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import torch
from tables import table

from uss_ray.evaluation.items import read_list
from uss_ray.evaluation.result import SystemResult, by_system, summarise_system
from uss_ray.evaluation.scene_rows import level_rows
from uss_ray.evaluation.scene_run import separate_levels
from uss_ray.evaluation.sounds import SoundShelf, mix
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import build_engine
from uss_ray.separation.settings import NetworkSettings, SeparationSettings
from uss_ray.store.store import Store
from uss_ray.weights.locate import load_weights

COLUMNS = (
    "", "precision", "recall", "F1", "SDR", "SDRi", "SDR, missed as silence", "SDRi, the same", "CA-SDRi", "residual",
    "false stems", "missed", "taken twice", "least left", "louder than parent", "parent overdrawn",
)  # fmt: skip


def main() -> None:
    """Separate scenes of the list and print what they are worth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--list", type=Path, default=Path(__file__).parent / "lists" / "scenes.parquet")
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--oracle", action="store_true")
    parser.add_argument("--weights", default="starter")
    parser.add_argument("--in-bands", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    listed = read_list(asked.list)
    items = listed.items[: asked.scenes]
    weights = load_weights(asked.weights)
    networks = NetworkSettings(in_bands=asked.in_bands)
    engine = build_engine(weights, vocabulary=Vocabulary.load(), networks=networks)
    sounds = SoundShelf(Store(asked.data))
    changes = {name: json.loads(value) for name, value in (text.split("=", 1) for text in asked.set)}
    settings = SeparationSettings(**changes)
    forwards: Counter[str] = Counter()
    cpu = time.process_time()
    rows = []
    for item in items:
        mixed = mix(item, sounds)
        for level in separate_levels(
            mixed, engine=engine, settings=settings, is_oracle=asked.oracle, forwards=forwards
        ):
            rows += level_rows(level, sources=len(mixed.targets), seconds=item.seconds)
    heard = f"{weights.name} in bands" if asked.in_bands else weights.name
    print(
        f"{heard}, {len(items)} scenes of a list of {len(listed.items)} (sha256 {listed.sha256[:12]}), "
        f"{'true nodes' if asked.oracle else 'nodes as detected'}, {changes or 'defaults'}: "
        f"{forwards['separations']} separations, {forwards['tags']} tags, {time.process_time() - cpu:.0f} s of a CPU"
    )
    table(COLUMNS, [cells(summarise_system(own)) for own in by_system(rows).values()])


def cells(level: SystemResult) -> list[str]:
    """Format one row."""
    labels, agreement = level.labels, level.level
    assert labels is not None
    assert agreement is not None
    mean = {name: measure.mean.value for name, measure in level.measures.items()}
    return [
        level.query,
        *(_text(value) for value in (labels.precision, labels.recall, labels.f1)),
        *(_text(value) for value in (agreement.written_sdr, agreement.written_sdri)),
        *(_text(mean.get(name)) for name in ("sdr", "sdri", "ca_sdri")),
        *(_text(mean.get(name), "{:.1%}") for name in ("residual", "false_stems", "missed")),
        _text(agreement.taken_twice, "{:.1%}"),
        _text(agreement.least_left),
        *(_text(value, "{:.1%}") for value in (agreement.louder, agreement.overdrawn)),
    ]


def _text(value: float | None, form: str = "{:.2f}") -> str:
    return "" if value is None else form.format(value)


if __name__ == "__main__":
    main()
