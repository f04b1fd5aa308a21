"""Which anchors make up a step: a pure function of seed and step, whoever computes it.

The items of a step are shared out to *lanes*; a worker takes whole lanes, so that any number of workers that divides
their number makes the same steps, and the step number is all that has to be remembered of the data (docs/adr/0048).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from uss_ray.anchors.catalogue import AnchorCatalogue
from uss_ray.errors import DataError
from uss_ray.training.recipe import PlanSettings

_ORDERS_KEPT = 4096

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def lanes_of_worker(lanes: int, *, worker: int, workers: int) -> range:
    """Give the lanes of one worker: every `workers`-th, beginning with its own number."""
    return range(worker, lanes, workers)


class DrawPlan:
    """The endless class-balanced draw of each lane, read from any position.

    All lanes go through the same shuffled round of classes, each beginning at another place of it, and each in an order
    of its own within stretches of it: at any time all classes have been drawn equally often, to one or two. Of a class,
    a lane takes one anchor after the other from an endless sequence of shuffled passes over all of them; the anchors of
    a row group follow each other in it.

    Parameters
    ----------
    catalogue : AnchorCatalogue
    settings : PlanSettings
    classes : sequence of int, optional
        Which take part, default all that have anchors; one that is named twice is drawn twice as often.

    Raises
    ------
    DataError
        If a class has no anchors.
    """

    def __init__(
        self, catalogue: AnchorCatalogue, *, settings: PlanSettings, classes: Sequence[int] | None = None
    ) -> None:
        chosen = catalogue.classes if classes is None else sorted(classes)
        missing = sorted(set(chosen) - set(catalogue.classes))
        if missing or not chosen:
            raise DataError(
                catalogue.name,
                expected=f"anchors of class {missing[0] if missing else 'any'}",
                found="none",
            )
        self.settings = settings
        self._catalogue = catalogue
        self._classes = np.array(chosen)
        self._stretch = -(-len(chosen) // settings.lanes)
        # How often a class stands in a round, and which of its copies a place is: each copy has draws of its own.
        self._copies = {index: chosen.count(index) for index in set(chosen)}
        first = {index: chosen.index(index) for index in self._copies}
        self._copy = np.array([place - first[index] for place, index in enumerate(chosen)])
        self._rounds: OrderedDict[tuple[int, int], NDArray[np.int64]] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = (
            OrderedDict()
        )

    def anchors(self, step: int, lane: int) -> NDArray[np.int64]:
        """Give the anchors that a lane draws for a step, as rows of the catalogue, of shape (lane items,)."""
        size = self.settings.lane_items
        return np.array([self.anchor(lane, number) for number in range(step * size, (step + 1) * size)])

    def anchor(self, lane: int, number: int) -> int:
        """Give the anchor of a lane's n-th draw, as row of the catalogue."""
        turn, place = divmod(number, len(self._classes))
        drawn = int(self._round(turn, lane)[place])
        index = int(self._classes[drawn])
        copies = self._copies[index]
        return self._nth(index, lane, turn * copies + int(self._copy[drawn]))

    def _round(self, turn: int, lane: int) -> NDArray[np.int64]:
        key = (turn, lane)
        known = self._rounds.get(key)
        if known is None:
            count, lanes = len(self._classes), self.settings.lanes
            order = counter_generator(self.settings.seed, "round", turn).permutation(count)
            order = np.roll(order, -(lane * count // lanes))
            shuffle = counter_generator(self.settings.seed, "stretch", turn, lane)
            known = np.concatenate(
                [
                    shuffle.permutation(order[start : start + self._stretch])
                    for start in range(0, count, self._stretch)
                ]
            )
            _keep(self._rounds, key, known)
        return known

    def _nth(self, index: int, lane: int, number: int) -> int:
        groups = self._catalogue.groups_of(index)
        anchors = int(groups.rows.sum())
        walk, place = divmod(number, anchors)
        order, ends = self._walk(index, walk)
        # Each lane begins its pass at a row group of its own, so that they are not at the same anchors at once.
        skipped = lane * len(order) // self.settings.lanes
        place = (place + (int(ends[skipped - 1]) if skipped else 0)) % anchors
        position = int(np.searchsorted(ends, place, side="right"))
        group = int(order[position])
        rows = int(groups.rows[group])
        row = place - (int(ends[position]) - rows)
        shuffled = counter_generator(self.settings.seed, "group", index, walk, lane, group).permutation(rows)
        return int(groups.first[group] + shuffled[row])

    def _walk(self, index: int, walk: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Order the row groups of a class for a pass; give them and where each ends."""
        known = self._groups.get((index, walk))
        if known is None:
            rows = self._catalogue.groups_of(index).rows
            order = counter_generator(self.settings.seed, "pass", index, walk).permutation(len(rows))
            known = order, np.cumsum(rows[order])
            _keep(self._groups, (index, walk), known)
        return known


def counter_generator(seed: int, *counters: int | str) -> np.random.Generator:
    """Make the random numbers of one place in a run; those of other places are independent of them."""
    digest = hashlib.blake2b("\0".join(map(str, (seed, *counters))).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "big")))


def _keep(cache: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    cache[key] = value
    if len(cache) > _ORDERS_KEPT:
        cache.popitem(last=False)
