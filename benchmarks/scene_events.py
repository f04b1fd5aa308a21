"""Levels against events, segments against frames, and what tagging doubtful stems again tells: scenes of a list.

python benchmarks/scene_events.py DATA [--scenes 24] [--list benchmarks/lists/scenes.parquet] [--set NAME=VALUE]

DATA is the folder that holds audioset_mini and audioset_mini2.

A name is true if it is the class of a source of the scene or lies above one. Precision, recall and F1 are of names with
all names above them, abstract ones left out; times are those of true names, in steps of 50 ms. A name is torn where a
segment has it and the next has one above or below it instead; in one stem: of the time in which a source has a true
name, that of its longest one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tables import table

from uss_ray.evaluation.items import read_list
from uss_ray.evaluation.scene_run import true_sounds
from uss_ray.evaluation.sounds import MixedItem, SoundShelf, mix
from uss_ray.ontology.graph import Ontology
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import SeparationEngine, build_engine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import SeparationPlan, Target, targets_for_events, targets_for_levels
from uss_ray.store.store import Store
from uss_ray.weights.locate import load_weights

_STEPS_PER_SECOND = 20
_LEAST_SHARE = 1e-3
"""A source is there in a segment in which it has at least this share of the mixture's energy."""

COLUMNS = (
    "stems a scene", "class itself", "true names", "precision", "recall", "F1", "false stems' energy",
    "time precision", "time recall", "time F1", "names torn", "in one stem",
    "sure names true", "doubtful names true", "tagged again", "AUC", "AUC, mixture",
)  # fmt: skip


@dataclass
class Tally:
    """What one way has given in all scenes."""

    scenes: int = 0
    stems: int = 0
    names: int = 0
    true: int = 0
    exact: int = 0
    shared: int = 0
    told: int = 0
    there: int = 0
    false_energy: float = 0.0
    energy: float = 0.0
    times: list[int] = field(default_factory=lambda: [0, 0, 0])
    torn: int = 0
    whole: list[int] = field(default_factory=lambda: [0, 0])
    by_certainty: dict[bool, list[bool]] = field(default_factory=lambda: {True: [], False: []})
    doubtful: list[tuple[bool, float, float]] = field(default_factory=list)


class Judge:
    """Compares what a way gives of a scene with what is in it."""

    def __init__(self, vocabulary: Vocabulary, mixed: MixedItem) -> None:
        self._ontology = vocabulary.ontology
        self._mixed, self._rate = mixed, mixed.sample_rate
        self._sources = {key: np.sum(sounds, axis=0) for key, sounds in true_sounds(mixed).items()}
        self._above = {class_id: _with_above(self._ontology, class_id) for class_id in self._sources}
        self._truth = set().union(*self._above.values())

    def take(
        self, tally: Tally, engine: SeparationEngine, targets: Sequence[Target], settings: SeparationSettings
    ) -> None:
        """Separate the scene and add what comes of it."""
        mixture = self._mixed.mixture
        source = ArraySource(mixture, sample_rate=self._rate)
        plan = SeparationPlan(tuple(targets))
        stems: dict[int, NDArray[np.float64]] = {}
        heard: dict[int, NDArray[np.bool_]] = {}
        sure: dict[int, bool] = {}
        steps = round(self._mixed.item.seconds) * _STEPS_PER_SECOND
        actives: list[NDArray[np.bool_]] = []
        for block in engine.stream(source, plan, settings=settings):
            where = slice(block.start_frame, block.start_frame + block.mixture.shape[1])
            actives.append(block.active)
            for column in np.flatnonzero((block.held_by == np.arange(len(targets))).any(axis=0)).tolist():
                stem = stems.setdefault(column, np.zeros(len(mixture)))
                stem[where] = block.estimates[targets[column].key][0]
                sure[column] = sure.get(column, False) or bool((block.sure & block.active)[:, column].any())
            for segment, spans in enumerate(block.detected_spans):
                for column, start, end in spans.tolist():
                    if block.active[segment, int(column)]:
                        at = heard.setdefault(int(column), np.zeros(steps, np.bool_))
                        at[round(start * _STEPS_PER_SECOND) : round(end * _STEPS_PER_SECOND)] = True
            for segment, column in np.argwhere(~np.isnan(block.stem_probs)).tolist():
                first = block.start_frame + segment * settings.segment_seconds * self._rate
                part = slice(first, first + settings.segment_seconds * self._rate)
                is_there = self._is_there(targets[column].key, part)
                tally.doubtful.append(
                    (
                        is_there,
                        float(block.stem_probs[segment, column]),
                        float(block.segment_probs[segment, column]),
                    )
                )
        active = np.concatenate(actives)
        names = {targets[column].key for column in np.flatnonzero(active.any(axis=0))}
        told = set().union(*(_with_above(self._ontology, name) for name in names)) if names else set()
        tally.scenes += 1
        tally.stems += len(stems)
        tally.names += len(names)
        tally.torn += self._torn(active, targets)
        tally.exact += len(names & self._sources.keys())
        tally.true += len(names & self._truth)
        tally.shared += len(told & self._truth)
        tally.told += len(told)
        tally.there += len(self._truth)
        tally.energy += float(np.square(mixture, dtype=np.float64).sum())
        for column, stem in stems.items():
            name = targets[column].key
            is_true = name in self._truth
            tally.by_certainty[sure[column]].append(is_true)
            if not is_true:
                tally.false_energy += float(np.square(stem).sum())
                continue
            there = self._times(name, steps)
            found = heard.get(column, np.zeros(steps, np.bool_))
            for place, both in enumerate((there & found, found & ~there, there & ~found)):
                tally.times[place] += int(both.sum())
        for class_id, above in self._above.items():
            there = self._times(class_id, steps)
            found = [
                int((there & heard[column]).sum())
                for column in stems
                if targets[column].key in above and column in heard
            ]
            with_any = [heard[column] for column in stems if targets[column].key in above and column in heard]
            if with_any:
                tally.whole[0] += max(found)
                tally.whole[1] += int((there & np.any(with_any, axis=0)).sum())

    def _torn(self, active: NDArray[np.bool_], targets: Sequence[Target]) -> int:
        """Count how often a name ends where one above or below it begins."""
        torn = 0
        for before, after in itertools.pairwise(active):
            ends, begins = np.flatnonzero(before & ~after), np.flatnonzero(after & ~before)
            torn += sum(
                self._ontology.related(targets[one].key, targets[other].key)
                for one in ends
                for other in begins
            )
        return torn

    def _below(self, name: str) -> list[str]:
        return [class_id for class_id, above in self._above.items() if name in above]

    def _is_there(self, name: str, part: slice) -> bool:
        sound = np.zeros(len(self._mixed.mixture[part]))
        for class_id in self._below(name):
            sound = sound + self._sources[class_id][part]
        return float(np.square(sound).sum()) > _LEAST_SHARE * float(
            np.square(self._mixed.mixture[part]).sum()
        )

    def _times(self, name: str, steps: int) -> NDArray[np.bool_]:
        below = self._below(name)
        times = np.zeros(steps, np.bool_)
        for piece in self._mixed.item.sources:
            if piece.class_id in below:
                for start, end in piece.sounds:
                    times[round(start * _STEPS_PER_SECOND) : round(end * _STEPS_PER_SECOND)] = True
        return times


def _with_above(ontology: Ontology, node_id: str) -> set[str]:
    nodes = (ontology.node(node_id), *ontology.ancestors(node_id))
    return {node.node_id for node in nodes if not node.restrictions}


def auc(right: Iterable[float], wrong: Iterable[float]) -> float:
    """Tell how often a right one has the higher figure than a wrong one; 0.5 says nothing."""
    ones, others = np.array(list(right)), np.array(list(wrong))
    if not len(ones) or not len(others):
        return float("nan")
    return float((ones[:, None] > others).mean() + 0.5 * (ones[:, None] == others).mean())


def cells(tally: Tally) -> list[str]:
    """Format what a way has given."""
    both, found, missed = tally.times
    sure, doubtful = (tally.by_certainty[key] for key in (True, False))
    in_stem = auc(
        *([stem for there, stem, _ in tally.doubtful if there is wanted] for wanted in (True, False))
    )
    in_mixture = auc(
        *([mix for there, _, mix in tally.doubtful if there is wanted] for wanted in (True, False))
    )
    return [
        f"{tally.stems / tally.scenes:.1f}",
        *(f"{count / max(1, tally.names):.2f}" for count in (tally.exact, tally.true)),
        f"{tally.shared / max(1, tally.told):.2f}",
        f"{tally.shared / tally.there:.2f}",
        f"{2 * tally.shared / (tally.told + tally.there):.2f}",
        f"{tally.false_energy / tally.energy:.0%}",
        f"{both / max(1, both + found):.2f}",
        f"{both / max(1, both + missed):.2f}",
        f"{2 * both / max(1, 2 * both + found + missed):.2f}",
        f"{tally.torn / tally.scenes:.2f}",
        f"{tally.whole[0] / max(1, tally.whole[1]):.2f}",
        *(f"{np.mean(names):.2f} of {len(names)}" if names else "" for names in (sure, doubtful)),
        str(len(tally.doubtful) or ""),
        *(f"{value:.2f}" if tally.doubtful else "" for value in (in_stem, in_mixture)),
    ]


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--list", type=Path, default=Path(__file__).parent / "lists" / "scenes.parquet")
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--weights", default="starter")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    vocabulary = Vocabulary.load()
    listed = read_list(asked.list)
    scenes = listed.items[: asked.scenes]
    weights = load_weights(asked.weights)
    sounds = SoundShelf(Store(asked.data))
    engine = build_engine(weights, vocabulary=vocabulary)
    settings = SeparationSettings(
        **{name: json.loads(value) for name, value in (text.split("=", 1) for text in asked.set)}
    )
    events = targets_for_events(vocabulary, known=engine.known)
    ways = {
        f"level {level}": (targets_for_levels(vocabulary, levels=[level], known=engine.known), settings)
        for level in (1, 3)
    } | {
        "levels 1 to 3": (targets_for_levels(vocabulary, levels=[1, 2, 3], known=engine.known), settings),
        "events, times of segments": (events, settings.replace(times="segments")),
        "events": (events, settings.replace(retag_doubtful=True)),
        "events, threshold 0.2": (events, settings.replace(threshold=0.2)),
    }
    tallies = {name: Tally() for name in ways}
    took = dict.fromkeys(ways, 0.0)
    for scene in scenes:
        judge = Judge(vocabulary, mix(scene, sounds))
        for name, (targets, chosen) in ways.items():
            began = time.process_time()
            judge.take(tallies[name], engine, targets, chosen)
            took[name] += time.process_time() - began
    print(
        f"{weights.name}, {len(scenes)} scenes of a list of {len(listed.items)} (sha256 {listed.sha256[:12]})"
    )
    table(("way", *COLUMNS, "CPU s"), ([name, *cells(tallies[name]), f"{took[name]:.0f}"] for name in ways))


if __name__ == "__main__":
    main()
