"""Write a small set of synthetic animals with its own ontology: `python examples/bioacoustics/make_set.py FOLDER`.

What a set needs for training: an ontology and a class list, clips, a table of weak labels for each split, and true
events of the eval split, from which mixtures for validation are drawn.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE, SECONDS, CALL_SECONDS = 8000, 10, 4
NODES = {
    "x/animal": ("Animal", ["x/bird", "x/frog"]),
    "x/bird": ("Bird", ["x/warbler", "x/finch"]),
    "x/warbler": ("Reed warbler", []),
    "x/finch": ("Finch", []),
    "x/frog": ("Frog", []),
}
CLASSES = ("x/warbler", "x/finch", "x/frog")
CLIPS = {"train": 8, "eval": 2}  # of each class


def call_of(class_id: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Make some seconds of calls."""
    time = np.arange(CALL_SECONDS * RATE) / RATE
    if class_id == "x/warbler":  # glides up again and again
        rate = rng.uniform(2, 4)
        return np.sin(2 * np.pi * np.cumsum(1800 + 900 * (rate * time % 1)) / RATE)
    if class_id == "x/finch":  # a trill of short chirps
        is_chirping = (rng.uniform(6, 10) * time) % 1 < 0.5
        return is_chirping * np.sin(2 * np.pi * rng.uniform(2900, 3300) * time)
    croaks = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * rng.uniform(1, 2) * time))
    return croaks * np.sign(np.sin(2 * np.pi * rng.uniform(90, 140) * time)) * np.sin(2 * np.pi * 500 * time)


def make_set(root: Path) -> None:
    """Write everything below a folder."""
    metadata = root / "metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    nodes = [
        {"id": node, "name": name, "description": "", "citation_uri": "", "positive_examples": []}
        | {"child_ids": children, "restrictions": []}
        for node, (name, children) in NODES.items()
    ]
    (root / "ontology.json").write_text(json.dumps(nodes, indent=1))
    rows = [f"{index},{class_id},{NODES[class_id][0]}" for index, class_id in enumerate(CLASSES)]
    (root / "classes.csv").write_text("\n".join(["index,mid,display_name", *rows]) + "\n")
    rng = np.random.default_rng(0)
    events = ["segment_id\tsplit\tonset\toffset\tmid\trole"]
    for split, count in CLIPS.items():
        folder = root / "audio" / split
        folder.mkdir(parents=True, exist_ok=True)
        labels = []
        for class_id in CLASSES:
            for number in range(count):
                clip_id = f"{split}-{class_id.removeprefix('x/')}-{number}"
                onset = int(rng.integers(1, SECONDS - CALL_SECONDS))
                sound = 0.003 * rng.standard_normal(SECONDS * RATE)
                sound[onset * RATE : (onset + CALL_SECONDS) * RATE] += 0.2 * call_of(class_id, rng)
                soundfile.write(folder / f"{clip_id}.flac", sound, RATE)
                labels.append(f'{clip_id}, 0.000, {SECONDS}.000, "{class_id}"')
                events.append(f"{clip_id}\t{split}\t{onset}\t{onset + CALL_SECONDS}\t{class_id}\ttarget")
        (metadata / f"{split}_segments.csv").write_text("\n".join(labels) + "\n")
    (metadata / "strong_labels.tsv").write_text("\n".join(events) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    make_set(parser.parse_args().folder)
