"""Read anchors class by class, and as the endless class-balanced stream that training draws from.

A trainer takes classes from an endless queue of shuffled classes and, of each, the next anchor of an endless shuffled
pass over that class alone. What lies in memory is one row group a class, still encoded.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from uss_ray.anchors.anchor import Anchor
from uss_ray.anchors.footers import FooterCache
from uss_ray.anchors.manifest import MANIFEST_NAME, MiningManifest, read_manifest
from uss_ray.anchors.pack_plan import SourceGroups, Take
from uss_ray.anchors.schema import ANCHOR_SCHEMA, ANCHOR_VERSION, VERSION_KEY, read_anchors
from uss_ray.anchors.shards import ANCHOR_FOLDER
from uss_ray.arrow import parquet_of
from uss_ray.errors import DataError
from uss_ray.store.faults import wording
from uss_ray.store.store import Location, Store

_FOOTER_GROUPS_KEPT = 16_384  # about 220 MB; without its footer a row group takes two requests


class AnchorShards:
    """The anchors under an output root, local or in an object store.

    Parameters
    ----------
    root : Store, str or path
        With a manifest, its shards and no other are read, and of those only the ones that hold what is asked for;
        without one (a run that goes on), every shard that is there.

    Raises
    ------
    DataError
        If there are no shards, or the manifest cannot be read.
    """

    def __init__(self, root: Location | Store) -> None:
        self.root = Store.of(root, DataError)
        self.manifest: MiningManifest | None = None
        self._groups: dict[Store, NDArray[np.int64]] = {}
        self._footers: FooterCache[Store] = FooterCache(_FOOTER_GROUPS_KEPT)
        self._counts: dict[Store, Counter[int]]
        if (self.root / MANIFEST_NAME).exists():
            self.manifest = read_manifest(self.root)
            self._counts = {self.root / shard.name: Counter(shard.counts) for shard in self.manifest.shards}
        else:
            found = [place for place in (self.root / ANCHOR_FOLDER).list() if place.name.endswith(".parquet")]
            if not found:
                raise DataError(str(self.root), expected=f"shards ({ANCHOR_FOLDER}/*.parquet)", found="none")
            self._counts = {shard: _counts_of(self._read_groups(shard)) for shard in found}

    @property
    def counts(self) -> dict[int, int]:
        """Anchors of each class index, ascending."""
        total: Counter[int] = Counter()
        for counts in self._counts.values():
            total.update(counts)
        return {index: count for index, count in sorted(total.items()) if count > 0}

    def columns(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Read some columns of all anchors, shard by shard.

        Parameters
        ----------
        names : sequence of str
            Columns of `ANCHOR_SCHEMA`.

        Yields
        ------
        pyarrow.Table
        """
        for shard, counts in self._counts.items():
            if counts.total() > 0:
                with shard.open() as file:
                    parquet = self._opened(file, shard=shard, is_last_look=True)
                    yield parquet.read(columns=list(names), use_threads=False)

    def iter_class(self, class_index: int, *, seed: int | None = None) -> Iterator[Anchor]:
        """Pass once over the anchors of a class; nothing of other classes is read.

        Parameters
        ----------
        class_index : int
        seed : int, optional
            Order of row groups, and of anchors within one; None: the order of the files.

        Yields
        ------
        Anchor

        Raises
        ------
        DataError
            If there is none of the class, or a shard is damaged.
        """
        shards = [shard for shard, counts in self._counts.items() if counts[class_index] > 0]
        if not shards:
            raise DataError(str(self.root), expected=f"anchors of class {class_index}", found="none")
        groups = [
            (shard, number)
            for shard in shards
            for number in np.flatnonzero(self._read_groups(shard)[:, 0] == class_index).tolist()
        ]
        generator = None if seed is None else _generator(seed, class_index)
        for place in _order(len(groups), generator):
            table = self._read_group(*groups[place])
            for row in _order(len(table), generator):
                yield from read_anchors(table.slice(row, 1))

    def balanced_stream(self, *, seed: int, classes: Sequence[int] | None = None) -> Iterator[Anchor]:
        """Stream without end, every class equally often.

        Parameters
        ----------
        seed : int
            The same one gives the same stream; give every worker of a training run its own.
        classes : sequence of int, optional
            Which take part; default: all that have anchors.

        Yields
        ------
        Anchor
            Classes in shuffled rounds, each once a round; within a class every anchor once a pass.

        Raises
        ------
        DataError
            If a class has no anchors.
        """
        counts = self.counts
        chosen = list(counts) if classes is None else sorted(set(classes))
        missing = [index for index in chosen if index not in counts]
        if missing or not chosen:
            raise DataError(
                str(self.root), expected=f"anchors of class {missing[0] if missing else 'any'}", found="none"
            )
        passes = {index: self._passes(index, seed=seed) for index in chosen}
        generator = _generator(seed, -1)
        while True:
            for place in _order(len(chosen), generator):
                yield next(passes[chosen[place]])

    def row_groups(self) -> SourceGroups:
        """Tell all row groups, shard by shard in the order of their names; reads every footer.

        Raises
        ------
        DataError
            If a shard is damaged, or its row groups are not of one class each.
        """
        found = [np.zeros((0, 5), np.int64)]
        for place, shard in enumerate(self._shards):
            if self._counts[shard].total() == 0:
                continue
            with shard.open() as file:
                metadata = self._opened(file, shard=shard, is_last_look=True).metadata
            groups = _groups_of(metadata, shard=shard)
            numbers = np.arange(len(groups))
            found.append(np.column_stack([np.full(len(groups), place), numbers, groups]))
        return SourceGroups(*np.concatenate(found).T)

    def take(self, parts: Sequence[Take]) -> list[pa.Table]:
        """Read consecutive anchors of row groups that `row_groups` told of.

        Parameters
        ----------
        parts : sequence of Take
            Each file of them is opened once, each row group of it read once; all that is read is held at once.

        Returns
        -------
        list of pyarrow.Table
            One a part, in their order.
        """
        found: dict[Take, pa.Table] = {}
        ordered = sorted(set(parts), key=lambda part: (part.shard, part.number, part.first))
        for place, wanted in groupby(ordered, key=lambda part: part.shard):
            shard = self._shards[place]
            with shard.open() as file:
                parquet = self._opened(file, shard=shard)
                for number, takes in groupby(wanted, key=lambda part: part.number):
                    table = _row_group(parquet, number, shard=shard)
                    found |= {part: table.slice(part.first, part.stop - part.first) for part in takes}
        return [found[part] for part in parts]

    @cached_property
    def _shards(self) -> list[Store]:
        return sorted(self._counts, key=lambda shard: shard.name)

    def _passes(self, class_index: int, *, seed: int) -> Iterator[Anchor]:
        generator = _generator(seed, class_index)
        while True:
            yield from self.iter_class(class_index, seed=int(generator.integers(1 << 62)))

    def _read_groups(self, shard: Store) -> NDArray[np.int64]:
        if shard not in self._groups:
            with shard.open() as file:
                self._groups[shard] = _groups_of(self._opened(file, shard=shard).metadata, shard=shard)
        return self._groups[shard]

    def _read_group(self, shard: Store, number: int) -> pa.Table:
        with shard.open() as file:
            return _row_group(self._opened(file, shard=shard), number, shard=shard)

    def _opened(self, file: object, *, shard: Store, is_last_look: bool = False) -> pq.ParquetFile:
        """Open a shard with the footer of last time: in a large set it outweighs a row group.

        Who goes through all shards looks at each once: to keep its footer would only drive out others.
        """
        known = self._footers.get(shard)
        with _reading(shard, expected="a Parquet file"):
            parquet = pq.ParquetFile(file, metadata=known, pre_buffer=True)
        if known is None:
            _check_schema(parquet.schema_arrow, shard=shard)
            if not is_last_look:
                self._footers.add(shard, parquet.metadata)
        return parquet


@contextmanager
def _reading(shard: Store, *, expected: str) -> Iterator[None]:
    try:
        with parquet_of(str(shard), expected=expected):
            yield
    except OSError as fault:
        raise DataError(str(shard), expected="a readable file", found=wording(fault)) from fault


def _check_schema(schema: pa.Schema, *, shard: Store) -> None:
    version = (schema.metadata or {}).get(VERSION_KEY, b"none").decode()
    if version != str(ANCHOR_VERSION):
        raise DataError(
            str(shard), expected=f"anchors of version {ANCHOR_VERSION}", found=f"version {version}"
        )
    if not schema.equals(ANCHOR_SCHEMA):
        raise DataError(str(shard), expected="the columns of ANCHOR_SCHEMA", found=", ".join(schema.names))


def _row_group(parquet: pq.ParquetFile, number: int, *, shard: Store) -> pa.Table:
    with _reading(shard, expected="a whole shard"):
        return parquet.read_row_group(number, use_threads=False)


def _groups_of(metadata: pq.FileMetaData, *, shard: Store) -> NDArray[np.int64]:
    """Tell of each row group its class, its anchors and their size, (groups, 3)."""
    column = ANCHOR_SCHEMA.names.index("class_index")
    groups = np.zeros((metadata.num_row_groups, 3), np.int64)
    for number in range(metadata.num_row_groups):
        meta = metadata.row_group(number)
        # Parquet numbers leaf columns; the lists, which have leaves of their own, all come after this one.
        statistics = meta.column(column).statistics
        if statistics is None or statistics.min != statistics.max:
            raise DataError(
                str(shard), expected="row groups of one class each", found=f"others, group {number}"
            )
        groups[number] = int(statistics.min), meta.num_rows, meta.total_byte_size
    return groups


def _counts_of(groups: NDArray[np.int64]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for index, rows in groups[:, :2].tolist():
        counts[index] += rows
    return counts


def _generator(seed: int, class_index: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{class_index}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def _order(count: int, generator: np.random.Generator | None) -> list[int]:
    order: list[int] = (np.arange(count) if generator is None else generator.permutation(count)).tolist()
    return order
