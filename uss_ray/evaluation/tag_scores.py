"""What tags of clips are worth: averages over classes, with intervals by drawing clips again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uss_ray.evaluation.averages import Average, average_of_draws
from uss_ray.evaluation.label_metrics import areas_under_roc, average_precisions, d_primes
from uss_ray.evaluation.measures import OF_TAGS

_DRAWS: Final = 400


@dataclass(frozen=True, eq=False)
class TagScores:
    """Averages over classes, and what each class has.

    Parameters
    ----------
    averages : dict of str to Average
        By measure.
    undefined : dict of str to int
        Classes that are there, by measure for which they have none.
    classes : dict of str to dict of str to float
        By class, its measures.
    positives : dict of str to int
        Clips that each class is in.
    drawn : dict of str to ndarray of shape (classes, 1 + draws)
        By measure, first the figure of a class and then those of draws of clips; NaN where there is none.
    """

    averages: Mapping[str, Average]
    undefined: Mapping[str, int]
    classes: Mapping[str, Mapping[str, float]]
    positives: Mapping[str, int]
    drawn: Mapping[str, NDArray[np.float64]]


def score_tags(probs: Sequence[Mapping[str, float]], true: Sequence[Sequence[str]]) -> TagScores:
    """Average precision and d′ of each class that is in a clip, and their means.

    Parameters
    ----------
    probs : sequence of mapping of str to float
        A clip each; the same classes in all.
    true : sequence of sequence of str
        Classes that are in each.

    Notes
    -----
    Clips are drawn again with all their classes; a class that is in none of those drawn has no part in that draw.
    """
    told, known = {node for own in true for node in own}, probs[0].keys() if probs else set()
    clips = len(probs)
    counts = np.ones((1 + _DRAWS, clips), np.int64)
    if clips:
        counts[1:] = np.random.default_rng(0).multinomial(clips, np.full(clips, 1 / clips), size=_DRAWS)
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in OF_TAGS}
    classes, positives = {}, {}
    for node in sorted(told & known):
        scores = np.array([own[node] for own in probs])
        truth = np.array([node in own for own in true])
        found = {
            "map": average_precisions(scores, truth, counts),
            "d_prime": d_primes(areas_under_roc(scores, truth, counts)),
        }
        for name, values in found.items():
            drawn[name].append(values)
        classes[node] = {name: float(values[0]) for name, values in found.items() if np.isfinite(values[0])}
        positives[node] = int(truth.sum())
    tables = {name: np.array(values).reshape(-1, 1 + _DRAWS) for name, values in drawn.items()}
    return TagScores(
        {name: average_of_draws(table) for name, table in tables.items()},
        {name: len(told) - sum(name in own for own in classes.values()) for name in OF_TAGS},
        classes,
        positives,
        tables,
    )
