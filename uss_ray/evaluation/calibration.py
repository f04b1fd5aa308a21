"""How much the probabilities of a tagger are worth, and what makes them worth more: fitted, and chosen by trying.

Owns the arithmetic. What is compared is a recording and a class: the highest probability that the tagger gave it
anywhere in the recording, and whether it is there. What is fitted is judged on recordings that it was not fitted on,
and the simpler way is kept unless another one is better by more than chance (docs/adr/0051).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from uss_ray.errors import DataError
from uss_ray.models.specifications import ClassCalibration

Lines = Literal["none", "one", "class"]
Thresholds = Literal["given", "one", "class"]

_FOLDS = 5
_LEAST_EXAMPLES = 5  # of a class, there and not there, before anything is fitted to it alone
_LOGIT_BOUND = 12.0
_STEPS = 30
_HELD = 4.0  # how strongly the line of a class is held to that of all: about so many examples weigh as much
_LEAST_SLOPE = 0.05


@dataclass(frozen=True)
class Observations:
    """What a tagger said of classes in recordings, and whether they are there.

    Parameters
    ----------
    recordings : ndarray of shape (n,), dtype=str
        What one recording says is never divided between fitting and judging.
    classes : ndarray of shape (n,), dtype=int64
        Class indexes.
    probs : ndarray of shape (n,), dtype=float64
        Highest probability in the recording, as the tagger gives it, in [0, 1].
    is_there : ndarray of shape (n,), dtype=bool
    """

    recordings: NDArray[np.str_]
    classes: NDArray[np.int64]
    probs: NDArray[np.float64]
    is_there: NDArray[np.bool_]

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[str, int, float, bool]]) -> Observations:
        """Make them of recording, class, probability and truth."""
        recordings, classes, probs, is_there = zip(*rows, strict=True) if (rows := list(rows)) else ((),) * 4
        return cls(
            np.array(recordings, np.str_),
            np.array(classes, np.int64),
            np.array(probs, np.float64),
            np.array(is_there, np.bool_),
        )

    @classmethod
    def joined(cls, several: Sequence[Observations]) -> Observations:
        """Put several together."""
        columns = (
            np.concatenate([getattr(one, name) for one in several])
            for name in ("recordings", "classes", "probs", "is_there")
        )
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.probs)

    def where(self, chosen: NDArray[np.bool_]) -> Observations:
        """Give some of them."""
        return Observations(*(column[chosen] for column in vars(self).values()))

    @property
    def logits(self) -> NDArray[np.float64]:
        """Of the probabilities, bounded."""
        with np.errstate(divide="ignore"):
            logits = np.log(self.probs) - np.log1p(-self.probs)
        return np.clip(logits, -_LOGIT_BOUND, _LOGIT_BOUND)


@dataclass(frozen=True)
class Way:
    """What is fitted: lines through the logits (of none, all or each class), and thresholds (given, one, a class)."""

    lines: Lines
    thresholds: Thresholds

    def __str__(self) -> str:
        lines = {"none": "as they are", "one": "one line", "class": "a line a class"}[self.lines]
        thresholds = {"given": "as now", "one": "one for all", "class": "one a class"}[self.thresholds]
        return f"{lines}, {thresholds}"


NOW = Way("none", "given")
WAYS = (
    NOW,
    Way("none", "one"),
    Way("none", "class"),
    Way("one", "one"),
    Way("class", "one"),
    Way("class", "class"),
)
"""From the simplest."""
THRESHOLD_WAYS = tuple(way for way in WAYS if way.thresholds != "given")
"""Those that can be held to a precision."""


@dataclass(frozen=True)
class Fitted:
    """A line and a threshold for each class.

    Parameters
    ----------
    slopes, offsets, thresholds : dict of int to float
        By class index.
    as_before : frozenset of int, default=frozenset()
        Classes that nothing was fitted to: they are as the weights have them.
    """

    slopes: dict[int, float]
    offsets: dict[int, float]
    thresholds: dict[int, float]
    as_before: frozenset[int] = frozenset()

    @classmethod
    def of_weights(
        cls, calibration: Sequence[ClassCalibration], *, classes: Iterable[int], threshold: float
    ) -> Fitted:
        """Give what weights do with classes as they are.

        Parameters
        ----------
        calibration : sequence of ClassCalibration
            That the weights bring; classes without one have their probability.
        classes : iterable of int
        threshold : float
            Of classes whose calibration has none.
        """
        brought = {one.class_index: one for one in calibration}
        ones = [brought.get(index) or ClassCalibration(class_index=index) for index in sorted(set(classes))]
        return cls(
            {one.class_index: one.slope for one in ones},
            {one.class_index: one.offset for one in ones},
            {one.class_index: threshold if one.threshold is None else one.threshold for one in ones},
            frozenset(one.class_index for one in ones),
        )

    def logits(self, seen: Observations) -> NDArray[np.float64]:
        """Give those of the calibrated probabilities."""
        slopes, offsets = (_of_classes(table, seen.classes) for table in (self.slopes, self.offsets))
        return np.asarray(slopes * seen.logits + offsets)

    def probs(self, seen: Observations) -> NDArray[np.float64]:
        """Calibrate."""
        calibrated: NDArray[np.float64] = _sigmoid(self.logits(seen))
        return calibrated

    def found(self, seen: Observations) -> NDArray[np.bool_]:
        """Tell which of them would be taken as there."""
        return np.asarray(self.probs(seen) >= _of_classes(self.thresholds, seen.classes))

    def of_classes(self, *, beside: Sequence[ClassCalibration] = ()) -> tuple[ClassCalibration, ...]:
        """Give what weights keep of it, beside what they bring for classes that nothing was fitted to."""
        fitted = {
            index: ClassCalibration(
                class_index=index,
                slope=_shortened(self.slopes[index]),
                offset=_shortened(self.offsets[index]),
                threshold=_shortened(self.thresholds[index]),
            )
            for index in self.slopes
            if index not in self.as_before
        }
        kept = {one.class_index: one for one in beside} | fitted
        return tuple(kept[index] for index in sorted(kept))


@dataclass(frozen=True)
class Score:
    """What a way is worth on recordings that it was not fitted on.

    Parameters
    ----------
    way : Way
    precision, recall, f1 : float
        Of all recordings and classes together.
    log_loss : float
        Mean, in nats.
    f1_of_folds, log_loss_of_folds : tuple of float
    """

    way: Way
    precision: float
    recall: float
    f1: float
    log_loss: float
    f1_of_folds: tuple[float, ...] = ()
    log_loss_of_folds: tuple[float, ...] = ()


def fit(seen: Observations, way: Way, *, now: Fitted, precision: float | None = None) -> Fitted:
    """Fit a way to what was seen.

    Parameters
    ----------
    seen : Observations
    way : Way
    now : Fitted
        What the weights do as they are, with all classes that they know, those seen among them: lines are fitted on
        top of theirs. One threshold is of all of these classes, and those without examples have the line of all; where
        each has its own, classes that were not seen stay as they are.
    precision : float or None, default=None
        Share of what is found that is to be there, in (0, 1); None: thresholds are those of the highest F1.
    """
    if way == NOW:
        return now
    classes = np.unique(seen.classes).tolist()
    fitted_to = classes if way.thresholds == "class" else list(now.slopes)
    logits = now.logits(seen)
    everywhere = (
        (1.0, 0.0) if way.lines == "none" else _line(logits, seen.is_there, near=(1.0, 0.0), held=1e-3)
    )
    lines = dict.fromkeys(fitted_to, everywhere)
    if way.lines == "class":
        for index in classes:
            own = seen.classes == index
            if _enough(seen.is_there[own]):
                lines[index] = _line(logits[own], seen.is_there[own], near=everywhere, held=_HELD)
    lined = Fitted(
        now.slopes | {index: slope * now.slopes[index] for index, (slope, _) in lines.items()},
        now.offsets
        | {index: slope * now.offsets[index] + offset for index, (slope, offset) in lines.items()},
        now.thresholds,
        now.as_before.difference(fitted_to),
    )
    if not seen.is_there.any():
        return lined
    probs = lined.probs(seen)
    threshold = partial(_threshold, precision=precision)
    thresholds = now.thresholds | dict.fromkeys(fitted_to, threshold(probs, seen.is_there))
    if way.thresholds == "class":
        for index in classes:
            own = seen.classes == index
            if _enough(seen.is_there[own]):
                thresholds[index] = threshold(probs[own], seen.is_there[own])
    return Fitted(lined.slopes, lined.offsets, thresholds, lined.as_before)


def cross_validate(
    seen: Observations,
    *,
    now: Fitted,
    precision: float | None = None,
    ways: Sequence[Way] = WAYS,
) -> list[Score]:
    """Judge ways on recordings that they were not fitted on, each recording once; in which fold, its name decides.

    Parameters
    ----------
    seen : Observations
    now : Fitted
    precision : float or None, default=None
        Both as of `fit`.
    ways : sequence of Way

    Returns
    -------
    list of Score
        In the order of the ways.

    Raises
    ------
    DataError
        If there are too few recordings, or in some fold nothing that is there.
    """
    digests = [hashlib.sha256(name.encode()).digest() for name in seen.recordings.tolist()]
    fold = np.array([digest[0] % _FOLDS for digest in digests])
    parts = [seen.where(fold == one) for one in range(_FOLDS)]
    if not all(part.is_there.any() and not part.is_there.all() for part in parts):
        counts = (
            f"{len(np.unique(seen.recordings))} recordings, {int(seen.is_there.sum())} sounds that are there"
        )
        raise DataError(
            "calibration",
            expected=f"sounds that are there, and that are not, in each of {_FOLDS} shares of the recordings",
            found=counts,
        )
    scores = []
    for way in ways:
        fitted = [fit(seen.where(fold != one), way, now=now, precision=precision) for one in range(_FOLDS)]
        judged = [judge(one, part) for one, part in zip(fitted, parts, strict=True)]
        counts = np.sum([_counts(one, part) for one, part in zip(fitted, parts, strict=True)], axis=0)
        weights = [len(part) for part in parts]
        scores.append(
            Score(
                way,
                *_rates(counts),
                log_loss=float(np.average([one.log_loss for one in judged], weights=weights)),
                f1_of_folds=tuple(one.f1 for one in judged),
                log_loss_of_folds=tuple(one.log_loss for one in judged),
            )
        )
    return scores


def choose(scores: Sequence[Score]) -> Score:
    """Take the best way: of two, the simpler unless the other is better in most folds, by more than chance.

    Parameters
    ----------
    scores : sequence of Score
        From the simplest way, as `cross_validate` gives them.
    """
    best = scores[0]
    for score in scores[1:]:
        finds_more = _exceeds(score.f1_of_folds, best.f1_of_folds)
        finds_less = _exceeds(best.f1_of_folds, score.f1_of_folds)
        is_truer = _exceeds(best.log_loss_of_folds, score.log_loss_of_folds)
        if finds_more or (is_truer and not finds_less):
            best = score
    return best


def judge(fitted: Fitted, seen: Observations, *, way: Way = NOW) -> Score:
    """Score what was fitted on other recordings."""
    probs = np.clip(fitted.probs(seen), 1e-6, 1 - 1e-6)
    loss = -np.mean(np.log(np.where(seen.is_there, probs, 1 - probs)))
    return Score(way, *_rates(_counts(fitted, seen)), log_loss=float(loss))


def _counts(fitted: Fitted, seen: Observations) -> NDArray[np.int64]:
    found = fitted.found(seen)
    return np.array([(found & seen.is_there).sum(), found.sum(), seen.is_there.sum()])


def _rates(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    right, found, there = (int(count) for count in counts)
    return right / max(1, found), right / max(1, there), 2 * right / max(1, found + there)


def _exceeds(ones: Sequence[float], others: Sequence[float]) -> bool:
    """Tell whether some are larger than others, pair by pair, by more than the error of the mean."""
    differences = np.subtract(ones, others)
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return bool(differences.mean() > max(error, 1e-6))


def _enough(is_there: NDArray[np.bool_]) -> bool:
    return min(int(is_there.sum()), int((~is_there).sum())) >= _LEAST_EXAMPLES


def _line(
    logits: NDArray[np.float64], is_there: NDArray[np.bool_], *, near: tuple[float, float], held: float
) -> tuple[float, float]:
    """Fit slope and offset by Newton's method, held to a line near by."""
    start = np.array(near)
    line = start.copy()
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    for _ in range(_STEPS):
        probs = _sigmoid(design @ line)
        gradient = design.T @ (probs - is_there) + held * (line - start)
        curvature = design.T @ (design * (probs * (1 - probs))[:, np.newaxis]) + (held + 1e-9) * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        line = line - np.clip(step, -2.0, 2.0)
        line[0] = max(line[0], _LEAST_SLOPE)
        if np.abs(step).max() < 1e-8:
            break
    return float(line[0]), float(line[1])


def _threshold(probs: NDArray[np.float64], is_there: NDArray[np.bool_], *, precision: float | None) -> float:
    """Find the threshold of the highest F1, or that finds most at a precision, in the middle between two probabilities.

    Where no threshold has the precision, it is the one that comes nearest.
    """
    order = np.argsort(-probs, kind="stable")
    ranked, right = probs[order], np.cumsum(is_there[order])
    is_last = np.append(ranked[1:] < ranked[:-1], True)
    found = np.arange(1, len(right) + 1)
    if precision is None:
        worth = 2 * right / (found + right[-1])
    else:
        worth = np.where(right >= precision * found, 1.0 + right, right / found)
    place = int(np.argmax(np.where(is_last, worth, -1.0)))
    below = ranked[place + 1] if place + 1 < len(ranked) else 0.0
    return float((ranked[place] + below) / 2)


def _of_classes(table: dict[int, float], classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Look up what is known of classes."""
    found, places = np.unique(classes, return_inverse=True)
    return np.array([table[index] for index in found.tolist()], np.float64)[places]


def _shortened(value: float) -> float:
    """Keep six significant digits: thresholds of classes of small probabilities are small, and not 0."""
    return float(f"{value:.6g}")


def _sigmoid(logits: NDArray[np.float64]) -> Any:
    return 1.0 / (1.0 + np.exp(-logits))
