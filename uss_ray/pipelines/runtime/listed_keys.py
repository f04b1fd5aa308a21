"""Which items have been listed, by whatever reader: 24 bytes each. No Ray."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]
Flags = NDArray[np.bool_]


class ListedKeys:
    """A set of keys that grows by some at a time.

    Runs of sorted keys, each less than half as long as the one before: what is added is merged with shorter ones, so
    that there are few.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.int64]] = []  # rows: key, place, reader

    def add(self, reader: int, keys: Keys, places: Keys) -> tuple[Flags, Flags]:
        """Note items.

        Parameters
        ----------
        reader : int
            Who lists them.
        keys : ndarray of shape (n,), dtype=int64
        places : ndarray of shape (n,), dtype=int64
            A hash of where each lies.

        Returns
        -------
        is_first : ndarray of shape (n,), dtype=bool
            Whether a key has not been listed before, nor comes earlier among these.
        is_stranger : ndarray of shape (n,), dtype=bool
            Whether one that has been listed before lay elsewhere.
        """
        order = np.lexsort((np.arange(len(keys)), keys))
        ordered = keys[order]
        heads = np.append(True, ordered[1:] != ordered[:-1])[: len(keys)]
        head_of = np.maximum.accumulate(np.where(heads, np.arange(len(keys)), 0))
        known_place = np.empty(len(keys), np.int64)
        known_place[order] = places[order][head_of]
        is_first = np.zeros(len(keys), np.bool_)
        is_first[order[heads]] = True
        for run in self._runs:
            at = np.minimum(np.searchsorted(run[0], keys), run.shape[1] - 1)
            is_there = run[0][at] == keys
            is_first &= ~is_there
            known_place = np.where(is_there, run[1][at], known_place)
        self._merge(np.stack([keys, places, np.full(len(keys), reader)])[:, is_first])
        return is_first, ~is_first & (known_place != places)

    def forget(self, reader: int) -> None:
        """Take back what a reader has listed."""
        kept = [run[:, run[2] != reader] for run in self._runs]
        self._runs = [run for run in kept if run.shape[1]]

    def _merge(self, new: NDArray[np.int64]) -> None:
        if not new.shape[1]:
            return
        while self._runs and self._runs[-1].shape[1] < 2 * new.shape[1]:
            new = np.concatenate([self._runs.pop(), new], axis=1)
        self._runs.append(new[:, np.argsort(new[0])])
