"""How much sound an archive holds, from the lengths of some of its recordings.

Owns the drawing of the sample and the arithmetic of the estimate; opens no file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_TWO_SIDED_95 = 1.96


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number that was counted, or estimated with its error.

    Parameters
    ----------
    value : float
    error : float, default=0
        Half the width of the 95 % confidence interval; 0 for what was counted, infinite after a sample of one.
    """

    value: float
    error: float = 0.0


class Reservoir:
    """A uniform sample of rows of which nobody knows how many will come (Vitter 1985, algorithm R).

    Parameters
    ----------
    size : int
        Rows to keep, at least 1.
    seed : int
        The same rows in the same order with the same seed give the same sample.
    """

    def __init__(self, size: int, *, seed: int) -> None:
        self._size = size
        self._random = np.random.default_rng(seed)
        self._seen = 0
        self._rows: list[dict[str, object]] = []

    @property
    def seen(self) -> int:
        """Rows that were offered."""
        return self._seen

    def offer(self, table: pa.Table) -> None:
        """Let every row of a table have its chance."""
        places = self._places(table.num_rows)
        taken = np.flatnonzero(places < self._size)
        for place, row in zip(places[taken].tolist(), table.take(taken).to_pylist(), strict=True):
            if place == len(self._rows):
                self._rows.append(row)
            else:
                self._rows[place] = row
        self._seen += table.num_rows

    def rows(self) -> list[dict[str, object]]:
        """Give the sample in random order."""
        return [self._rows[place] for place in self._random.permutation(len(self._rows))]

    def _places(self, rows: int) -> NDArray[np.int64]:
        """Draw a place for each row: the first ones fill the reservoir, later ones mostly miss it."""
        numbers = np.arange(self._seen, self._seen + rows)
        return np.where(numbers < self._size, numbers, self._random.integers(0, numbers + 1))


def estimate_total(
    values: Sequence[float], *, sizes: Sequence[float | None], count: int, total_size: float | None
) -> Estimate:
    """Estimate the sum of a quantity over a population from a random sample.

    Parameters
    ----------
    values : sequence of float
        The quantity of each sampled item; at least one.
    sizes : sequence of float or None
        Something known of every item that the quantity may follow, such as bytes.
    count : int
        Items in the population.
    total_size : float or None
        Sum of the sizes over the population; None if some are not known.

    Returns
    -------
    Estimate
        Mean times count, or the ratio to the size times the total size, whichever has the smaller error.

    Notes
    -----
    Cochran 1977, *Sampling Techniques*, chapters 2 and 6: both with the correction for a finite population.
    """
    taken = np.asarray(values, dtype=np.float64)
    by_mean = _expanded(taken, residuals=taken - taken.mean(), total=float(taken.mean()) * count, count=count)
    if total_size is None or None in sizes or not any(sizes):
        return by_mean
    known = np.asarray(sizes, dtype=np.float64)
    ratio = float(taken.sum() / known.sum())
    by_ratio = _expanded(taken, residuals=taken - ratio * known, total=ratio * total_size, count=count)
    return min(by_ratio, by_mean, key=lambda estimate: estimate.error)


def estimate_rate(amounts: Sequence[float], *, sizes: Sequence[float]) -> Estimate:
    """Estimate an amount for each unit of size from a few items out of very many.

    Parameters
    ----------
    amounts : sequence of float
        At least one.
    sizes : sequence of float
        Of the same items; above 0 in all.

    Returns
    -------
    Estimate
        Sum over sum, with the error of a ratio estimate.
    """
    taken, known = np.asarray(amounts, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    rate = float(taken.sum() / known.sum())
    if len(taken) == 1:
        return Estimate(value=rate, error=math.inf)
    deviation = math.sqrt(float(np.square(taken - rate * known).sum()) / (len(taken) - 1) / len(taken))
    return Estimate(value=rate, error=_TWO_SIDED_95 * deviation / float(known.mean()))


def _expanded(
    taken: NDArray[np.float64], *, residuals: NDArray[np.float64], total: float, count: int
) -> Estimate:
    sampled = len(taken)
    if sampled >= count:
        return Estimate(value=float(taken.sum()))
    if sampled == 1:
        return Estimate(value=total, error=math.inf)
    variance = float(np.square(residuals).sum()) / (sampled - 1)
    error = _TWO_SIDED_95 * count * math.sqrt((1 - sampled / count) * variance / sampled)
    return Estimate(value=total, error=error)
