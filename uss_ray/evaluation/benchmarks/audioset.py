"""AudioSet's evaluation segments: two seconds mined of each clip, for each of its labels."""

from __future__ import annotations

from typing import ClassVar

from uss_ray.anchors.stream import AnchorShards
from uss_ray.datasets.segments import read_segments
from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.benchmark import Card, Files, Sound
from uss_ray.evaluation.benchmarks.pairs import PairBenchmark
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.store.store import Store

_PARTS = {"eval": "eval_segments", "train": "balanced_train_segments"}
_ANCHORS = "anchors/{}"


class AudioSet(PairBenchmark):
    """Where in a clip a class sounds is what `uss-ray mine` found; without anchors a clip's first seconds are taken."""

    card: ClassVar[Card] = Card(
        name="audioset",
        title="AudioSet, evaluation segments",
        revision="2",
        main_score="sdri",
        unit="dB",
        licence="CC BY 4.0 (the labels; the sound is of whoever published it)",
        citation="Gemmeke et al. 2017, Audio Set: an ontology and human-labeled dataset for audio events",
        layout="audios/{eval,balanced_train}_segments/Y<id>.wav; metadata/{eval,balanced_train}_segments.csv; "
        "anchors/{eval,balanced_train}_segments: what uss-ray mine wrote for them",
        sample_rate=0,
        splits=("eval", "train"),
        protocols=("strict",),
        assumed="The paper's list is drawn by a batch loader from clips that were there when it was drawn (100 pairs a "
        "class, mined by Cnn14_DecisionLevelMax, partners of any label); it cannot be drawn again.",
    )

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:
        """See `Benchmark`."""
        part = _PARTS[split]
        classes = Vocabulary.load().classes
        index = {class_id: number for number, class_id in enumerate(classes.ids)}
        records = {
            record.clip_id: record
            for record in read_segments(data / f"metadata/{part}.csv", class_index=index)
        }
        places = self._mined(data, part) if files.below(_ANCHORS.format(part)) else None
        sounds = []
        for clip_id, record in records.items():
            for own in record.class_indexes:
                start = 0.0 if places is None else places.get((clip_id, own))
                if start is None:
                    continue
                order = (own, *(other for other in record.class_indexes if other != own))
                sounds.append(
                    Sound(
                        f"audios/{part}/Y{clip_id}.wav",
                        tuple(classes.labels[number] for number in order),
                        tuple(classes.ids[number] for number in order),
                        start,
                    )
                )
        return sounds

    def _mined(self, data: Store, part: str) -> dict[tuple[str, int], float]:
        shards = AnchorShards((data / _ANCHORS.format(part)).raising(DataError))
        best: dict[tuple[str, int], tuple[float, float]] = {}
        for table in shards.columns(["clip_id", "class_index", "start_sample", "sample_rate", "score"]):
            for row in table.to_pylist():
                place = (row["clip_id"], row["class_index"])
                seen = (-row["score"], row["start_sample"] / row["sample_rate"])
                best[place] = min(best.get(place, seen), seen)
        return {place: start for place, (_, start) in best.items()}
