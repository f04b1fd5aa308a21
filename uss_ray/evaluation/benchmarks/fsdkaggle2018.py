"""FSDKaggle2018: the clips of DCASE 2018 Task 2, 41 classes."""

from __future__ import annotations

from typing import ClassVar, Final

from uss_ray.evaluation.benchmarks.benchmark import Card, Files, Sound, read_rows
from uss_ray.evaluation.benchmarks.pairs import PairBenchmark
from uss_ray.store.store import Store

_TABLES: Final = {"test": "test_post_competition_scoring_clips.csv", "train": "train_post_competition.csv"}


class FsdKaggle2018(PairBenchmark):
    """Labels have `_` for spaces and commas; the training list holds labels that nobody verified."""

    card: ClassVar[Card] = Card(
        name="fsdkaggle2018",
        title="FSDKaggle2018 (DCASE 2018 Task 2)",
        revision="1",
        main_score="sdri",
        unit="dB",
        licence="CC BY 4.0 (of the set; each clip has its own)",
        citation="Fonseca et al. 2018, General-purpose tagging of Freesound audio with AudioSet labels",
        layout="FSDKaggle2018.audio_{train,test}/*.wav; FSDKaggle2018.meta/{train_post_competition,"
        "test_post_competition_scoring_clips}.csv: fname, label",
        sample_rate=44_100,
        published=10.57,
        assumed="Both usages of the test table count, as in the released script.",
    )

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:  # noqa: ARG002
        """See `Benchmark`."""
        rows = read_rows(data / f"FSDKaggle2018.meta/{_TABLES[split]}", columns=("fname", "label"))
        return [Sound(f"FSDKaggle2018.audio_{split}/{row['fname']}", (row["label"],)) for row in rows]
