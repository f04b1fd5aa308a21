"""ESC-50: environmental sounds, 50 classes in five folds; the fifth is what is scored."""

from __future__ import annotations

from typing import ClassVar

from uss_ray.evaluation.benchmarks.benchmark import Card, Files, Sound, read_rows
from uss_ray.evaluation.benchmarks.pairs import PairBenchmark
from uss_ray.store.store import Store

_SCORED_FOLD = "5"


class Esc50(PairBenchmark):
    """Takes of one source are in one fold, so that folds share no source; ends are padded with digital silence."""

    card: ClassVar[Card] = Card(
        name="esc50",
        title="ESC-50",
        revision="1",
        main_score="sdri",
        unit="dB",
        licence="CC BY-NC 3.0",
        citation="Piczak 2015, ESC: dataset for environmental sound classification",
        layout="audio/<fold>-<source>-<take>-<target>.wav; meta/esc50.csv: filename, fold, category",
        sample_rate=44_100,
        protocols=("strict",),
        assumed="The paper does not use it.",
    )

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:  # noqa: ARG002
        """See `Benchmark`."""
        rows = read_rows(data / "meta/esc50.csv", columns=("filename", "fold", "category"))
        return [
            Sound(f"audio/{row['filename']}", (row["category"],))
            for row in rows
            if (row["fold"] == _SCORED_FOLD) == (split == "test")
        ]
