"""What an output is worth beside the truth: sounds that are known to be in its recordings, and when.

A stem *fits* a true sound if its node is the sound's class, or a parent or child of it. A true sound is *found* if
stems that fit it are written and were detected for at least half of its time. A stem is *true* if at least half of
the time for which it was detected lies in sounds that it fits.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from uss_ray.evaluation.coverage import join_spans
from uss_ray.ontology.graph import Ontology
from uss_ray.results.index.table import read_index

Span = tuple[float, float]
ENOUGH = 0.5


@dataclass(frozen=True)
class TrueSound:
    recording: str
    class_name: str
    class_id: str
    span: Span


@dataclass(frozen=True)
class FoundStem:
    recording: str
    label: str
    node_id: str
    spans: tuple[Span, ...]
    level_db: float
    """Energy over that of its recording."""


@dataclass(frozen=True)
class Comparison:
    found: tuple[TrueSound, ...]
    missed: tuple[TrueSound, ...]
    true: tuple[FoundStem, ...]
    false: tuple[FoundStem, ...]

    @property
    def precision(self) -> float:
        return len(self.true) / (len(self.true) + len(self.false))

    @property
    def recall(self) -> float:
        return len(self.found) / (len(self.found) + len(self.missed))


def read_truth(path: Path) -> list[TrueSound]:
    with path.open(encoding="utf-8", newline="") as file:
        return [
            TrueSound(
                row["recording"],
                row["class"],
                row["class_id"],
                (float(row["onset_seconds"]), float(row["offset_seconds"])),
            )
            for row in csv.DictReader(file)
        ]


def stems_of(output: Path, archive: Path) -> list[FoundStem]:
    """Read the stems of an output, other than residuals."""
    return [
        FoundStem(
            row["recording_id"],
            row["label"],
            row["node_id"],
            tuple((span["start_seconds"], span["end_seconds"]) for span in row["active_spans"]),
            10 * np.log10(_energy(output / row["stem_uri"]) / _energy(archive / row["recording_id"])),
        )
        for row in read_index(output).to_pylist()
        if row["status"] == "written" and row["kind"] != "residual"
    ]


def compare(truth: Iterable[TrueSound], stems: Sequence[FoundStem], *, ontology: Ontology) -> Comparison:
    truth = list(truth)

    def fits(stem: FoundStem, sound: TrueSound) -> bool:
        node = ontology.node(sound.class_id)
        near = {node.node_id, *node.parent_ids, *node.children_ids}
        return stem.recording == sound.recording and stem.node_id in near

    def is_found(sound: TrueSound) -> bool:
        spans = [span for stem in stems if fits(stem, sound) for span in stem.spans]
        return _shared([sound.span], spans) >= ENOUGH * _length([sound.span])

    def is_true(stem: FoundStem) -> bool:
        spans = [sound.span for sound in truth if fits(stem, sound)]
        return _shared(stem.spans, spans) >= ENOUGH * _length(stem.spans)

    return Comparison(
        tuple(sound for sound in truth if is_found(sound)),
        tuple(sound for sound in truth if not is_found(sound)),
        tuple(stem for stem in stems if is_true(stem)),
        tuple(stem for stem in stems if not is_true(stem)),
    )


def _energy(path: Path) -> float:
    return float(np.sum(np.square(sf.read(path)[0])))


def _length(spans: Iterable[Span]) -> float:
    return sum(end - start for start, end in join_spans(spans))


def _shared(one: Iterable[Span], other: Iterable[Span]) -> float:
    return sum(
        max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
        for first in join_spans(one)
        for second in join_spans(other)
    )
