"""Benchmarks of two-source mixtures out of labelled clips: how the released scripts pair them, and how it is mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from uss_ray.datasets.decode import MODEL_RATE
from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.benchmark import (
    PAIRS_PER_CLASS,
    Benchmark,
    Draw,
    Sound,
    generator,
    source_of,
)
from uss_ray.evaluation.items import Item
from uss_ray.evaluation.pairs import warn_of_fewer
from uss_ray.ontology.vocabulary import Vocabulary

_TRIES = 200


class PairBenchmark(Benchmark):
    """Two seconds of a clip against two of another, at equal energy."""

    def draw(self, draw: Draw) -> list[Item]:
        """See `Benchmark`."""
        sounds = self.sounds(draw.data, draw.files, draw.split)
        if not sounds:
            raise DataError(str(draw.data), expected=f"clips of the {draw.split} split", found="none")
        if draw.protocol == "published":
            pairs = published_pairs(sounds, seed=draw.seed, where=str(draw.data))
        else:
            pairs = strict_pairs(sounds, seed=draw.seed, vocabulary=draw.vocabulary)
        return [_item(draw, number, *pair) for number, pair in pairs]


def published_pairs(
    sounds: Sequence[Sound], *, seed: int, where: str
) -> Iterator[tuple[int, tuple[Sound, Sound]]]:
    """Pair as the released scripts do: each clip with the next of the table, if their first labels differ.

    Clips come in permutations, and a class is full at 100; the last permutation is gone through to its end.

    Parameters
    ----------
    sounds : sequence of Sound
        In the order of the table.
    seed : int
        The released scripts have 1234.
    where : str
        For errors.

    Yields
    ------
    int
        Number of the pair in its class.
    tuple of (Sound, Sound)

    Raises
    ------
    DataError
        If a class has no clip that can be paired: the released script would never end.
    """
    random = np.random.RandomState(seed)
    counts = dict.fromkeys((sound.labels[0] for sound in sounds), 0)
    while min(counts.values()) < PAIRS_PER_CLASS:
        before = sum(counts.values())
        for index in random.permutation(len(sounds)):
            target, other = sounds[index], sounds[(index + 1) % len(sounds)]
            label = target.labels[0]
            if label != other.labels[0] and counts[label] < PAIRS_PER_CLASS:
                yield counts[label], (target, other)
                counts[label] += 1
        if sum(counts.values()) == before:
            lone = min(counts, key=lambda label: counts[label])
            raise DataError(where, expected=f"a clip behind one of {lone} with another label", found="none")


def strict_pairs(
    sounds: Sequence[Sound], *, seed: int, vocabulary: Vocabulary
) -> Iterator[tuple[int, tuple[Sound, Sound]]]:
    """Pair clips of which neither has a label of the other, nor one that holds it in the ontology.

    Independent of the order of the sounds. Classes that interfere are drawn evenly. Targets without such a clip are
    left out, and a warning says how many of which classes.

    Parameters
    ----------
    sounds : sequence of Sound
    seed : int
    vocabulary : Vocabulary

    Yields
    ------
    int
        Number of the pair in its class.
    tuple of (Sound, Sound)
    """
    by_class: dict[str, list[Sound]] = {}
    for sound in sorted(sounds, key=lambda sound: sound.path):
        by_class.setdefault(sound.labels[0], []).append(sound)
    names = sorted(by_class)
    without: Counter[str] = Counter()
    wanted = 0
    for label in names:
        rng = generator(seed, label)
        own = [by_class[label][place] for place in rng.permutation(len(by_class[label]))]
        for number in range(min(PAIRS_PER_CLASS, max(10, len(own)))):
            target = own[number % len(own)]
            wanted += 1
            for _ in range(_TRIES):
                others = by_class[names[rng.integers(len(names))]]
                other = others[rng.integers(len(others))]
                if not _conflict(target, other, vocabulary=vocabulary):
                    yield number, (target, other)
                    break
            else:
                without[label] += 1
    warn_of_fewer(without, wanted=wanted)


def _conflict(one: Sound, other: Sound, *, vocabulary: Vocabulary) -> bool:
    if one.path == other.path or set(one.labels) & set(other.labels):
        return True
    nodes = vocabulary.ontology.nodes
    return any(
        first == second or (first in nodes and second in nodes and vocabulary.ontology.related(first, second))
        for first in one.class_ids
        for second in other.class_ids
    )


def _item(draw: Draw, number: int, target: Sound, other: Sound) -> Item:
    first, second = source_of(target), source_of(other, "other")
    is_there = {first.path, second.path} <= draw.files.sizes.keys()
    return Item(
        item_id=f"{first.label}/{number:03d}",
        label=first.label,
        seconds=first.seconds,
        sample_rate=MODEL_RATE,
        protocol=draw.protocol,
        seed=draw.seed,
        sources=(first, replace(second, gain=draw.gain(first, second) if is_there else 1.0)),
    )
