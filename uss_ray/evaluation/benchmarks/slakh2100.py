"""Slakh2100: synthesised songs; two seconds of an instrument in the real mix."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import numpy as np
import yaml

from uss_ray.datasets.decode import MODEL_RATE
from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.benchmark import (
    PAIRS_PER_CLASS,
    Benchmark,
    Card,
    Draw,
    Files,
    Sound,
    generator,
)
from uss_ray.evaluation.items import Item, ItemSource
from uss_ray.evaluation.pairs import PAIR_SECONDS
from uss_ray.evaluation.sounds import SoundShelf
from uss_ray.store.store import Store

_LOUD_ABOVE_PEAK = 0.1
_CANDIDATES_ABOVE = 10
_DRUMS = "Drums"
_MIXTURE = "mixture"


class Slakh2100(Benchmark):
    """Stems are named from S00 or S01; one that was not rendered has no file, whatever its table says.

    The published protocol groups by plugin, with candidates in the order of folders and files and one state of random
    numbers for all. The strict one groups by instrument class, draws each class by itself, and takes a song's MIDI
    once: duplicates between splits are those of the set (the redux version has none).
    """

    card: ClassVar[Card] = Card(
        name="slakh2100",
        title="Slakh2100",
        revision="1",
        main_score="sdri",
        unit="dB",
        licence="CC BY 4.0",
        citation="Manilow et al. 2019, Cutting music source separation some Slakh",
        layout="{train,validation,test}/TrackNNNNN/{mix.flac,metadata.yaml,stems/SNN.flac}",
        sample_rate=44_100,
        splits=("test", "train", "validation"),
        published=7.28,
        assumed="Whether the paper's list is of the redux version is not said.",
    )

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:
        """See `Benchmark`."""
        tables = sorted(path for path in files.below(split) if path.endswith("/metadata.yaml"))
        if not tables:
            raise DataError(str(data / split), expected="tracks with a metadata.yaml", found="none")
        sounds = []
        for table in tables:
            folder = table.rpartition("/")[0]
            sounds.append(Sound(f"{folder}/mix.flac", (_MIXTURE, _MIXTURE)))
            for stem, told in self._stems(data / table).items():
                path = f"{folder}/stems/{stem}.flac"
                if told.get("audio_rendered", True) or path in files.sizes:
                    label = str(told["plugin_name"])
                    kind = _DRUMS if told.get("is_drum") else str(told.get("inst_class", label))
                    sounds.append(Sound(path, (label, kind)))
        return sounds

    def draw(self, draw: Draw) -> list[Item]:
        """See `Benchmark`."""
        shelf = SoundShelf(draw.data)
        candidates: dict[str, list[tuple[str, int]]] = {}
        for sound in self.sounds(draw.data, draw.files, draw.split):
            label = sound.labels[0 if draw.protocol == "published" else 1]
            if label == _MIXTURE:
                continue
            own = candidates.setdefault(label, [])
            if sound.path in draw.files.sizes:
                own.extend((sound.path, number) for number in loud_segments(shelf, sound.path))
        random = np.random.RandomState(draw.seed)
        items: list[Item] = []
        for label, own in candidates.items():
            if len(own) <= _CANDIDATES_ABOVE:
                continue
            if draw.protocol == "strict":
                chosen = generator(draw.seed, label).permutation(len(own))[:PAIRS_PER_CLASS].tolist()
            elif len(own) < PAIRS_PER_CLASS:
                chosen = list(range(len(own)))
            else:
                chosen = random.choice(len(own), size=PAIRS_PER_CLASS, replace=False).tolist()
            items += [self._item(draw, label, number, *own[place]) for number, place in enumerate(chosen)]
        return items

    def _item(self, draw: Draw, label: str, number: int, path: str, segment: int) -> Item:
        mix = f"{path.split('/stems/')[0]}/mix.flac"
        target, mixture = (
            ItemSource(
                role="target" if is_target else "mixture",
                path=path if is_target else mix,
                label=label if is_target else _MIXTURE,
                start_seconds=segment * PAIR_SECONDS,
                seconds=PAIR_SECONDS,
                is_cut_first=True,
            )
            for is_target in (True, False)
        )
        return Item(
            item_id=f"{label}/{number:03d}",
            label=label,
            seconds=PAIR_SECONDS,
            sample_rate=MODEL_RATE,
            protocol=draw.protocol,
            seed=draw.seed,
            sources=(target, mixture),
        )

    def _stems(self, place: Store) -> dict[str, dict[str, object]]:
        try:
            told = yaml.safe_load(place.raising(DataError).read())
            stems = dict(told["stems"])
            lacking = Counter(name for name, stem in stems.items() if "plugin_name" not in stem)
        except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise DataError(str(place), expected="metadata with stems", found=repr(error)) from error
        if lacking:
            raise DataError(
                str(place), expected="a plugin_name of each stem", found=f"none of {min(lacking)}"
            )
        return stems


def loud_segments(shelf: SoundShelf, path: str) -> list[int]:
    """Find the segments of two seconds of a stem whose peak is above 0.1, by their numbers."""
    waveform, rate = shelf.read(path)
    samples = int(rate * PAIR_SECONDS)
    count = len(waveform) // samples
    peaks = np.abs(waveform[: count * samples].reshape(count, samples)).max(axis=1)
    return np.flatnonzero(peaks > _LOUD_ABOVE_PEAK).tolist()
