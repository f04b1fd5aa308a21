"""Whole clips of sets in AudioSet's format, tagged: nothing is mixed, and nothing is separated."""

from __future__ import annotations

from collections import defaultdict
from typing import ClassVar

from uss_ray.evaluation.benchmarks.benchmark import Card, Draw
from uss_ray.evaluation.benchmarks.mini import EVENTS, WithLabels, clip_paths, local_folder
from uss_ray.evaluation.items import Item, ItemSource
from uss_ray.evaluation.label_metrics import join_spans
from uss_ray.evaluation.pairs import read_events
from uss_ray.evaluation.protocol import read_split
from uss_ray.store.store import Store


class Tagging(WithLabels):
    """Each clip as it is: which classes it is labelled with, and when they sound, where a table says so."""

    card: ClassVar[Card] = Card(
        name="tagging",
        title="Tagging of whole clips",
        revision="1",
        main_score="map",
        unit="of 1",
        licence="of each source, in the set's LICENSES.md",
        citation="Gemmeke et al. 2017, Audio Set: an ontology and human-labeled dataset for audio events (mAP, d′)",
        layout="audio/{train,eval}/<id>.*; metadata/{train,eval}_segments.csv; metadata/strong_labels.tsv where times "
        "are known; or a folder of several such sets with times",
        sample_rate=0,
        splits=("eval", "train"),
        protocols=("strict",),
        is_of_tags=True,
        assumed="A label sounds when an event of it, or of a class below it, does.",
    )

    def sets(self, data: Store, split: str) -> list[str]:
        """See `WithLabels`; a set alone needs no times."""
        is_alone = (local_folder(data) / "metadata" / f"{split}_segments.csv").is_file()
        return [""] if is_alone else super().sets(data, split)

    def draw(self, draw: Draw) -> list[Item]:
        """See `Benchmark`: an item a clip."""
        root, classes = local_folder(draw.data), draw.vocabulary.classes
        below = draw.vocabulary.subtrees()
        items = []
        for folder in self.sets(draw.data, draw.split):
            paths = clip_paths(draw.files, draw.split, folder=folder)
            times: dict[tuple[str, int], list[tuple[float, ...]]] = defaultdict(list)
            if (root / folder / EVENTS).is_file():
                for event in read_events(root / folder / EVENTS, split=draw.split):
                    if event.class_id in classes:
                        own = classes.index(event.class_id)
                        times[event.clip_id, own].append((event.onset_seconds, event.offset_seconds))
            for record in read_split(root / folder, split=draw.split, vocabulary=draw.vocabulary):
                path = paths.get(record.clip_id, f"{folder}audio/{draw.split}/{record.clip_id}.ogg")
                labels = [
                    ItemSource(
                        role="tag",
                        path=path,
                        label=classes.labels[index],
                        class_id=classes.ids[index],
                        sounds=tuple(
                            join_spans(
                                span
                                for one in below[index].nonzero()[0].tolist()
                                for span in times.get((record.clip_id, one), ())
                            )
                        ),
                    )
                    for index in record.class_indexes
                ]
                items.append(
                    Item(
                        item_id=f"{folder}{record.clip_id}",
                        label="",
                        seconds=0.0,
                        sample_rate=0,
                        protocol=draw.protocol,
                        seed=draw.seed,
                        sources=(ItemSource(role="mixture", path=path, label=""), *labels),
                    )
                )
        return items
