"""Metrics of separation and labels together, as the DCASE challenges have them, and of tagging."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from uss_ray.evaluation.metrics import snr

_COLLAR_SECONDS, _COLLAR_SHARE = 0.2, 0.2
_STEPS_PER_SECOND = 20

Sounds = Mapping[str, Sequence[NDArray[np.float32]]]
"""Label -> the sounds of that label."""


def ca_sdri(estimates: Sounds, references: Sounds, mixture: NDArray[np.float32]) -> float | None:
    """Class-aware SDRi of a scene (DCASE 2025 Task 4): a label that is missed or false adds a zero.

    Parameters
    ----------
    estimates, references : mapping of str to sequence of ndarray of shape (samples,)
        One sound a label.
    mixture : ndarray of shape (samples,)

    Returns
    -------
    float or None
        Mean in dB over the labels that are true or predicted; None where there is none.
    """
    labels = estimates.keys() | references.keys()
    if not labels:
        return None
    right = estimates.keys() & references.keys()
    gains = [_snri(estimates[label][0], references[label][0], mixture) for label in sorted(right)]
    return float(sum(gains)) / len(labels)


def capi_sdri(estimates: Sounds, references: Sounds, mixture: NDArray[np.float32]) -> float | None:
    """Class-aware, permutation-invariant SDRi of a scene (DCASE 2026 Task 4).

    Among the sounds of a label, the matching with the largest mean SNR counts; what is left over adds zeros.

    Parameters
    ----------
    estimates, references : mapping of str to sequence of ndarray of shape (samples,)
        Any number of sounds a label.
    mixture : ndarray of shape (samples,)

    Returns
    -------
    float or None
        Mean in dB over matched, missed and false sounds; None where there is nothing true and nothing predicted.
    """
    gains: list[float] = []
    count = 0
    for label in sorted(estimates.keys() | references.keys()):
        found, true = list(estimates.get(label, ())), list(references.get(label, ()))
        count += max(len(found), len(true))
        gains += [_snri(found[one], true[other], mixture) for one, other in _best_matching(found, true)]
    return sum(gains) / count if count else None


def _best_matching(
    found: Sequence[NDArray[np.float32]], true: Sequence[NDArray[np.float32]]
) -> list[tuple[int, int]]:
    if not found or not true:
        return []
    table = np.array([[float(snr(one, other)) for other in true] for one in found])
    is_wide = len(found) <= len(true)
    small, large = (len(found), len(true)) if is_wide else (len(true), len(found))
    scores = table if is_wide else table.T
    best = max(
        permutations(range(large), small),
        key=lambda chosen: sum(scores[row, at] for row, at in enumerate(chosen)),
    )
    return [(row, at) if is_wide else (at, row) for row, at in enumerate(best)]


def _snri(
    estimate: NDArray[np.float32], reference: NDArray[np.float32], mixture: NDArray[np.float32]
) -> float:
    return float(snr(estimate, reference)) - float(snr(mixture, reference))


def label_accuracies(
    scenes: Sequence[tuple[Sequence[str], Sequence[str]]],
) -> tuple[float | None, float | None]:
    """Give the share of scenes whose labels are all right, and that of labels.

    Parameters
    ----------
    scenes : sequence of (sequence of str, sequence of str)
        Predicted and true labels; a label may come several times.

    Returns
    -------
    mixture_accuracy, source_accuracy : float or None
        In [0, 1]: exact matches by scenes, and right ones by right, false and missed ones.
    """
    exact = right = either = 0
    for predicted, true in scenes:
        one, other = Counter(predicted), Counter(true)
        exact += one == other
        right += (one & other).total()
        either += (one | other).total()
    return (exact / len(scenes) if scenes else None), (right / either if either else None)


Span = tuple[float, ...]
"""Start and end in seconds."""
Times = Mapping[str, Sequence[Span]]
"""Label -> start and end of each event, in seconds."""


def join_spans(spans: Iterable[Span]) -> list[Span]:
    """Unite spans that overlap or touch, in order: of several sounds of one class, one is heard.

    Examples
    --------
    >>> join_spans([(4.0, 5.0), (0.0, 2.0), (1.0, 3.0)])
    [(0.0, 3.0), (4.0, 5.0)]
    """
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def event_counts(found: Times, true: Times) -> tuple[int, int, int]:
    """Count events that are found at their time, all that are found and all that are true.

    An event is right if its start is within 200 ms of a true one of its label, and its end within 200 ms or a fifth of
    the true one's length; each true one counts once, in the matching that has the most.

    Parameters
    ----------
    found, true : mapping of str to sequence of (float, float)
    """
    right = sum(_matched(found[label], true[label]) for label in found.keys() & true.keys())
    return right, sum(map(len, found.values())), sum(map(len, true.values()))


def _matched(found: Sequence[tuple[float, ...]], true: Sequence[tuple[float, ...]]) -> int:
    fits = [
        [
            place
            for place, (start, end) in enumerate(true)
            if abs(one[0] - start) <= _COLLAR_SECONDS
            and abs(one[1] - end) <= max(_COLLAR_SECONDS, _COLLAR_SHARE * (end - start))
        ]
        for one in found
    ]
    holder: dict[int, int] = {}

    def place(one: int, tried: set[int]) -> bool:
        for at in fits[one]:
            if at not in tried:
                tried.add(at)
                if at not in holder or place(holder[at], tried):
                    holder[at] = one
                    return True
        return False

    return sum(place(one, set()) for one in range(len(found)))


def frame_counts(found: Times, true: Times, *, seconds: float) -> tuple[int, int, int]:
    """Count steps of 50 ms in which a label is found and true, found, and true; over all labels.

    Parameters
    ----------
    found, true : mapping of str to sequence of (float, float)
    seconds : float
        Of the recording.
    """
    steps = round(seconds * _STEPS_PER_SECOND)

    def sounding(events: Sequence[tuple[float, ...]]) -> NDArray[np.bool_]:
        times = np.zeros(steps, np.bool_)
        for start, end in events:
            times[round(start * _STEPS_PER_SECOND) : round(end * _STEPS_PER_SECOND)] = True
        return times

    counts = np.zeros(3, np.int64)
    for label in found.keys() | true.keys():
        one, other = sounding(found.get(label, ())), sounding(true.get(label, ()))
        counts += [(one & other).sum(), one.sum(), other.sum()]
    return int(counts[0]), int(counts[1]), int(counts[2])


def average_precision(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float | None:
    """Area under the steps of precision over recall; equal scores are one step.

    Parameters
    ----------
    scores : ndarray of shape (items,)
    truth : ndarray of shape (items,), dtype=bool

    Returns
    -------
    float or None
        In [0, 1]; None where nothing is true.
    """
    return _defined(average_precisions(scores, truth, np.ones((1, len(scores)), np.int64)))


def average_precisions(
    scores: NDArray[np.floating], truth: NDArray[np.bool_], counts: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Give `average_precision` of several draws of the items; NaN where none that is true was drawn.

    Parameters
    ----------
    scores : ndarray of shape (items,)
    truth : ndarray of shape (items,), dtype=bool
    counts : ndarray of shape (draws, items)
        How often each item was drawn.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    ranked = counts[:, order]
    right, drawn = np.cumsum(ranked * truth[order], axis=1)[:, ends], np.cumsum(ranked, axis=1)[:, ends]
    with np.errstate(invalid="ignore"):
        precision, recall = right / np.maximum(drawn, 1), right / right[:, -1:]
    return np.asarray(np.sum(np.diff(recall, axis=1, prepend=0.0) * precision, axis=1))


def d_prime(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float | None:
    """Sensitivity index: √2 times the standard normal quantile of the area under the ROC curve.

    Parameters
    ----------
    scores : ndarray of shape (items,)
    truth : ndarray of shape (items,), dtype=bool

    Returns
    -------
    float or None
        None where all or none are true, or the area is 0 or 1.
    """
    return _defined(d_primes(areas_under_roc(scores, truth, np.ones((1, len(scores)), np.int64))))


def areas_under_roc(
    scores: NDArray[np.floating], truth: NDArray[np.bool_], counts: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Give the area under the ROC curve of several draws, in [0, 1]; NaN where all or none that were drawn are true.

    Parameters
    ----------
    scores : ndarray of shape (items,)
    truth : ndarray of shape (items,), dtype=bool
    counts : ndarray of shape (draws, items)
        How often each item was drawn.
    """
    positive, order = counts[:, truth], np.argsort(scores[~truth], kind="stable")
    negative = np.cumsum(counts[:, ~truth][:, order], axis=1)
    negative = np.concatenate((np.zeros((len(counts), 1), negative.dtype), negative), axis=1)
    ranked = scores[~truth][order]
    below, upto = (
        (positive * negative[:, np.searchsorted(ranked, scores[truth], side=side)]).sum(axis=1)
        for side in ("left", "right")
    )
    with np.errstate(invalid="ignore"):
        return np.asarray((below + upto) / 2 / (positive.sum(axis=1) * negative[:, -1]))


def d_primes(areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give `d_prime` of areas under ROC curves; NaN of 0, 1 and NaN."""
    quantile = NormalDist().inv_cdf
    return np.array([math.sqrt(2) * quantile(area) if 0 < area < 1 else math.nan for area in areas.tolist()])


def _defined(values: NDArray[np.float64]) -> float | None:
    return float(values[0]) if np.isfinite(values[0]) else None


def f1(right: float, predicted: float, true: float) -> float | None:
    """Harmonic mean of precision and recall; None where nothing is true and nothing predicted."""
    return 2 * right / (predicted + true) if predicted + true else None
