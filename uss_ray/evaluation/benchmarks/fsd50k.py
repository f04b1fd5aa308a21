"""FSD50K: clips of Freesound with smeared labels, 200 classes."""

from __future__ import annotations

from typing import ClassVar

from uss_ray.evaluation.benchmarks.benchmark import Card, Files, Sound, read_rows
from uss_ray.evaluation.benchmarks.pairs import PairBenchmark
from uss_ray.store.store import Store


class Fsd50k(PairBenchmark):
    """File names are whole numbers without a suffix; labels go up the hierarchy, and the first is what is scored.

    The published protocol compares first labels only, so that the interference may hold the target.
    """

    card: ClassVar[Card] = Card(
        name="fsd50k",
        title="FSD50K",
        revision="1",
        main_score="sdri",
        unit="dB",
        licence="CC BY 4.0 (of the set; each clip has its own)",
        citation="Fonseca et al. 2022, FSD50K: an open dataset of human-labeled sound events",
        layout="FSD50K.{dev,eval}_audio/<number>.wav; FSD50K.ground_truth/{dev,eval}.csv: fname, labels, mids",
        sample_rate=44_100,
        assumed="The paper's figure is in no source that could be read.",
    )

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:  # noqa: ARG002
        """See `Benchmark`."""
        part = {"test": "eval", "train": "dev"}[split]
        rows = read_rows(data / f"FSD50K.ground_truth/{part}.csv", columns=("fname", "labels", "mids"))
        return [
            Sound(
                f"FSD50K.{part}_audio/{row['fname']}.wav",
                tuple(row["labels"].split(",")),
                tuple(row["mids"].split(",")),
            )
            for row in rows
        ]
