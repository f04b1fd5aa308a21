"""Averages of scores with bootstrap intervals: the median in a class and the mean over classes, and plain means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from uss_ray.config import Settings

_DRAWS = 1000
_INTERVAL = (2.5, 97.5)
_SEED = 0


class Average(Settings):
    """A figure with its 95 % bootstrap interval; null where nothing is defined, or of a single item."""

    value: float | None = Field(default=None)
    low: float | None = Field(default=None)
    high: float | None = Field(default=None)
    items: int = Field(default=0, description="What it was averaged of.")

    @property
    def figure(self) -> tuple[str, str]:
        """Write value and interval; empty where there is none."""
        if self.value is None:
            return "–", ""
        if self.low is None or self.high is None:
            return f"{self.value:z.2f}", ""
        return f"{self.value:z.2f}", f"[{self.low:z.2f}, {self.high:z.2f}]"


def median(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Give what `np.median` gives, to the bit; of a thousand draws of ten it takes a tenth of the time."""
    ranked = np.sort(values, axis=axis)
    count = ranked.shape[axis]
    return np.asarray((ranked.take((count - 1) // 2, axis) + ranked.take(count // 2, axis)) / 2)


def class_median_mean(values: Mapping[str, Sequence[float]], *, draws: int = _DRAWS) -> Average:
    """Give the mean over classes of the median within a class, with an interval as `_average` draws it.

    Parameters
    ----------
    values : mapping of str to sequence of float
        Scores by class; finite. Classes without any are left out.
    draws : int, default=1000
        Of the interval; 0 gives none.
    """
    return _average([np.asarray(own)[None] for _, own in sorted(values.items()) if len(own)], median, draws)


def plain_mean(values: Sequence[float]) -> Average:
    """Give the mean over items.

    Parameters
    ----------
    values : sequence of float
        Finite.
    """
    return _average([np.asarray(values)[None]] if len(values) else [], np.mean, _DRAWS)


def paired_difference(
    one: Mapping[str, Sequence[float]],
    other: Mapping[str, Sequence[float]],
    *,
    statistic: Callable[..., Any] = median,
) -> Average:
    """Give the difference of two class-median means on the same items, drawn in pairs; positive: the second is better.

    Parameters
    ----------
    one, other : mapping of str to sequence of float
        Scores by class; the same items at the same places.
    statistic : callable, default=median
        Within a class.
    """
    groups = [np.array([one[label], other[label]]) for label in sorted(one) if len(one[label])]
    return _average(groups, statistic, _DRAWS)


def average_of_draws(values: np.ndarray) -> Average:
    """Give a mean over classes whose draws are made already; the interval is that of the draws, about the figure.

    A clip that is drawn twice ranks beside itself, so precision is higher in every draw (ADR 83).

    Parameters
    ----------
    values : ndarray of shape (classes, 1 + draws)
        First the figure of a class, then those of each draw; NaN where there is none.
    """
    counts = np.isfinite(values).sum(axis=0)
    if not counts[0]:
        return Average()
    means = np.nansum(values, axis=0)[counts > 0] / counts[counts > 0]
    if len(means) == 1:  # in no draw is there a figure
        return Average(value=float(means[0]), items=int(counts[0]))
    low, high = np.percentile(means[1:], _INTERVAL) + (means[0] - means[1:].mean())
    return Average(value=float(means[0]), low=float(low), high=float(high), items=int(counts[0]))


def _average(groups: Sequence[np.ndarray], statistic: Callable[..., Any], draws: int) -> Average:
    """Average classes of shape (1, items), or the differences within classes of shape (2, items).

    Items are drawn again within their classes. A class of one item has no spread of its own: it is drawn as far from
    its item as any item lies from the figure of its class, and such classes lie from the mean of them all. What is
    drawn of n items is spread by √(n / (n − 1)), for n of them drawn from themselves lie that much closer together
    (ADR 83).
    """

    def figure(table: np.ndarray) -> Any:
        found = statistic(table, axis=-1)
        return found[0] if len(found) == 1 else found[1] - found[0]

    if not groups:
        return Average()
    values, items = [float(figure(own)) for own in groups], sum(own.shape[1] for own in groups)
    value = float(np.mean(values))
    if not draws or items == 1:
        return Average(value=value, items=items)
    rng = np.random.default_rng(_SEED)
    again, apart = np.zeros(draws), []
    for own, own_value in zip(groups, values, strict=True):
        count = own.shape[1]
        if count > 1:
            spread = _spread(own, statistic(own, axis=-1)[:, None])
            again += figure(spread[:, rng.integers(count, size=(draws, count))])
            apart.append(figure(spread[..., None]) - own_value)
    single = np.array([value for own, value in zip(groups, values, strict=True) if own.shape[1] == 1])
    if len(single) > 1:
        apart.append(_spread(single, single.mean()) - single.mean())
    if len(single):
        lent = np.concatenate(apart)
        lent -= lent.mean()  # of skewed scores, deviations from a median are not zero in the mean
        again += single.sum() + lent[rng.integers(len(lent), size=(draws, len(single)))].sum(axis=1)
    low, high = np.percentile(again / len(groups), _INTERVAL)
    return Average(value=value, low=float(low), high=float(high), items=items)


def _spread(values: np.ndarray, centre: Any) -> np.ndarray:
    count = values.shape[-1]
    return np.asarray(centre + (values - centre) * np.sqrt(count / (count - 1)))
