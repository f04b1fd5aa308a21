"""Which anchor goes where when shards of mining are packed: by class, in full row groups, shuffled within a class.

Row groups of the source are shuffled, not single anchors, so that each is read once or twice; of each shard of the pack
the files of the source are opened once, in their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uss_ray.anchors.shards import ROW_GROUP_ANCHORS


@dataclass(frozen=True, eq=False)
class SourceGroups:
    """The row groups of the shards that are packed, in the order of the shards' names.

    Parameters
    ----------
    shards, numbers, class_indexes, rows, bytes : ndarray of shape (groups,), dtype=int64
        Which shard, which group in it, its class, its anchors and their size.
    """

    shards: NDArray[np.int64]
    numbers: NDArray[np.int64]
    class_indexes: NDArray[np.int64]
    rows: NDArray[np.int64]
    bytes: NDArray[np.int64]


@dataclass(frozen=True)
class Take:
    """Consecutive anchors of one row group of the source.

    Parameters
    ----------
    shard, number : int
        Which shard of the source, and which group in it.
    first, stop : int
        Rows in it.
    """

    shard: int
    number: int
    first: int
    stop: int


@dataclass(frozen=True)
class PackedShardPlan:
    """What one shard of a pack is made of.

    Parameters
    ----------
    number : int
    groups : tuple of tuple of Take
        One a row group.
    sizes : tuple of float
        Bytes of each row group, as the source tells.
    """

    number: int
    groups: tuple[tuple[Take, ...], ...]
    sizes: tuple[float, ...]

    def stretches(self, most_bytes: int) -> Iterator[tuple[tuple[Take, ...], ...]]:
        """Cut the row groups, in their order, into stretches of at most so many bytes; a larger group is one alone."""
        first, held = 0, 0.0
        for place, size in enumerate(self.sizes):
            if held + size > most_bytes and place > first:
                yield self.groups[first:place]
                first, held = place, 0.0
            held += size
        yield self.groups[first:]


@dataclass(frozen=True, eq=False)
class PackPlan:
    """What all shards of a pack are made of.

    Parameters
    ----------
    source : SourceGroups
    chosen : ndarray of shape (anchors,), dtype=int64
        Source group of each anchor, in the order of the pack.
    rows : ndarray of shape (anchors,), dtype=int64
        Row in that group.
    groups : ndarray of shape (packed groups + 1,), dtype=int64
        Where each row group of the pack begins, and the last one ends.
    shards : ndarray of shape (shards + 1,), dtype=int64
        The same of the shards, in row groups.
    """

    source: SourceGroups
    chosen: NDArray[np.int64]
    rows: NDArray[np.int64]
    groups: NDArray[np.int64]
    shards: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shards) - 1

    def shard(self, number: int) -> PackedShardPlan:
        """Say what a shard is made of."""
        first, stop = self.shards[number], self.shards[number + 1]
        spans = list(
            zip(self.groups[first:stop].tolist(), self.groups[first + 1 : stop + 1].tolist(), strict=True)
        )
        groups = tuple(self._takes(start, end) for start, end in spans)
        return PackedShardPlan(number, groups, tuple(self._size(start, end) for start, end in spans))

    def _size(self, start: int, end: int) -> float:
        chosen = self.chosen[start:end]
        return float((self.source.bytes[chosen] / self.source.rows[chosen]).sum())

    def _takes(self, start: int, end: int) -> tuple[Take, ...]:
        chosen, rows = self.chosen[start:end], self.rows[start:end]
        cuts = np.flatnonzero(np.diff(chosen)) + 1
        takes = []
        for part, where in zip(np.split(rows, cuts), np.split(chosen, cuts), strict=True):
            group = int(where[0])
            takes.append(
                Take(
                    shard=int(self.source.shards[group]),
                    number=int(self.source.numbers[group]),
                    first=int(part[0]),
                    stop=int(part[-1]) + 1,
                )
            )
        return tuple(takes)


def plan_pack(source: SourceGroups, *, seed: int, shard_bytes: int) -> PackPlan:
    """Lay anchors out.

    Parameters
    ----------
    source : SourceGroups
    seed : int
        Of the order within a class.
    shard_bytes : int
        Size at which a shard ends.

    Returns
    -------
    PackPlan
        Within a class all row groups have 16 anchors but the last one.
    """
    order, starts, sizes = [], [np.zeros(0, np.int64)], []
    position = 0
    for index in np.unique(source.class_indexes):
        members = np.flatnonzero(source.class_indexes == index)
        members = members[_generator(seed, int(index)).permutation(len(members))]
        count = int(source.rows[members].sum())
        order.append(members)
        starts.append(position + np.arange(0, count, ROW_GROUP_ANCHORS))
        sizes.append(np.repeat(source.bytes[members] / source.rows[members], source.rows[members]))
        position += count
    walked = np.concatenate(order) if order else np.zeros(0, np.int64)
    chosen = np.repeat(walked, source.rows[walked])
    ends = np.cumsum(source.rows[walked])
    rows = np.arange(position) - np.repeat(ends - source.rows[walked], source.rows[walked])
    groups = np.concatenate([*starts, [position]])
    before = np.concatenate([[0.0], np.cumsum(np.concatenate(sizes) if sizes else np.zeros(0))])[groups[:-1]]
    shard_of_group = (before // shard_bytes).astype(np.int64)
    first = np.flatnonzero(np.diff(shard_of_group, prepend=-1))
    return PackPlan(
        source=source,
        chosen=chosen,
        rows=rows,
        groups=groups,
        shards=np.concatenate([first, [len(groups) - 1]]).astype(np.int64),
    )


def _generator(seed: int, class_index: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{class_index}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
