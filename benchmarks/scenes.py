"""What a user gets of recordings whose sources are known: scenes of a list, separated by the engine at all levels.

python benchmarks/scenes.py DATA... [--scenes 24] [--oracle] [--list benchmarks/lists/scenes.jsonl] [--set NAME=VALUE]
python benchmarks/scenes.py DATA... --draw 60 [--list benchmarks/lists/scenes.jsonl]

DATA are audioset_mini and audioset_mini2; the list is drawn from their eval splits. `--set` changes a separation
setting, its value as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import torch
from tables import table

from uss_ray.evaluation.scene_run import run_scenes
from uss_ray.evaluation.scene_scores import SceneSummary, summarise
from uss_ray.evaluation.scenes import ClipShelf, build_scenes, list_sha256, read_scenes, scenes_jsonl
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import build_engine
from uss_ray.separation.settings import SeparationSettings
from uss_ray.weights.folder import read_folder
from uss_ray.weights.locate import locate_weights

COLUMNS = (
    "level", "precision", "recall", "F1", "SDR", "SDRi", "SDR, missed as silence", "SDRi, the same", "residual",
    "false stems", "taken twice", "least left", "louder than parent", "parent overdrawn",
)  # fmt: skip


def main() -> None:
    """Draw the list, or separate scenes of it and print what they are worth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--list", type=Path, default=Path(__file__).parent / "lists" / "scenes.jsonl")
    parser.add_argument("--draw", type=int)
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--oracle", action="store_true")
    parser.add_argument("--weights", default="starter")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    vocabulary = Vocabulary.load()
    if asked.draw is not None:
        drawn = build_scenes(asked.data, vocabulary=vocabulary, count=asked.draw)
        asked.list.write_text(scenes_jsonl(drawn))
        print(f"{asked.list}: {len(drawn)} scenes, sha256 {list_sha256(drawn)}")
        return
    torch.set_num_threads(1)
    listed = read_scenes(asked.list)
    scenes = listed[: asked.scenes]
    weights = read_folder(locate_weights(asked.weights))
    clips = ClipShelf.load(
        asked.data,
        clip_ids={piece.clip_id for scene in scenes for piece in scene.pieces},
        vocabulary=vocabulary,
        sample_rate=weights.specifications.sample_rate,
    )
    changes = {name: json.loads(value) for name, value in (text.split("=", 1) for text in asked.set)}
    forwards: Counter[str] = Counter()
    cpu = time.process_time()
    scores = [
        score
        for of_scene in run_scenes(
            scenes,
            clips,
            engine=build_engine(weights, vocabulary=vocabulary),
            settings=SeparationSettings(**changes),
            is_oracle=asked.oracle,
            forwards=forwards,
        )
        for score in of_scene
    ]
    print(
        f"{weights.name}, {len(scenes)} scenes of a list of {len(listed)} (sha256 {list_sha256(listed)[:12]}), "
        f"{'true nodes' if asked.oracle else 'nodes as detected'}, {changes or 'defaults'}: "
        f"{forwards['separations']} separations, {forwards['tags']} tags, {time.process_time() - cpu:.0f} s of a CPU"
    )
    table(COLUMNS, map(cells, summarise(scores)))


def cells(level: SceneSummary) -> list[str]:
    """Format one row."""
    return [
        str(level.level),
        *(_text(value) for value in (level.precision, level.recall, level.f1)),
        *(_text(value) for value in (level.sdr_db, level.sdri_db, level.sdr_all_db, level.sdri_all_db)),
        *(f"{value:.1%}" for value in (level.residual, level.false_share)),
        _text(level.taken_twice, "{:.1%}"),
        _text(level.least_left),
        *(_text(value, "{:.1%}") for value in (level.louder, level.overdrawn)),
    ]


def _text(value: float | None, form: str = "{:.2f}") -> str:
    return "" if value is None else form.format(value)


if __name__ == "__main__":
    main()
