"""Decoded footers of shards, of which a bounded number stays in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

import pyarrow.parquet as pq

K = TypeVar("K", bound=Hashable)


class FooterCache(Generic[K]):
    """Footers by the shard they are of; those that were asked for last stay, and always the last one.

    Parameters
    ----------
    most_groups : int
        Row groups whose description stays. Decoded it takes about 13 kB each, fifteen times its size in the file:
        bytes of footers say too little.
    """

    def __init__(self, most_groups: int) -> None:
        self._most_groups = most_groups
        self._footers: OrderedDict[K, pq.FileMetaData] = OrderedDict()
        self.row_groups = 0

    def __len__(self) -> int:
        return len(self._footers)

    def get(self, shard: K) -> pq.FileMetaData | None:
        """Give a footer that is held."""
        footer = self._footers.get(shard)
        if footer is not None:
            self._footers.move_to_end(shard)
        return footer

    def add(self, shard: K, footer: pq.FileMetaData) -> None:
        """Hold a footer that was not held, and let go of others for it."""
        self._footers[shard] = footer
        self.row_groups += footer.num_row_groups
        while self.row_groups > self._most_groups and len(self._footers) > 1:
            _, dropped = self._footers.popitem(last=False)
            self.row_groups -= dropped.num_row_groups
