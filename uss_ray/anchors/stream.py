"""Read anchors class by class, and as the endless class-balanced stream that training draws from.

A trainer takes classes from an endless queue of shuffled classes and, of each, the next anchor of an endless shuffled
pass over that class alone. What lies in memory is one row group a class, still encoded.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from uss_ray.anchors.anchor import Anchor
from uss_ray.anchors.manifest import MANIFEST_NAME, MiningManifest, read_manifest
from uss_ray.anchors.pack_plan import SourceGroups, Take
from uss_ray.anchors.schema import ANCHOR_SCHEMA, ANCHOR_VERSION, VERSION_KEY, read_anchors
from uss_ray.anchors.shards import ANCHOR_FOLDER
from uss_ray.arrow import parquet_of
from uss_ray.errors import DataError
from uss_ray.store.faults import wording
from uss_ray.store.store import Location, Store

_FOOTER_BYTES = 256 << 20


@dataclass(frozen=True)
class _Group:
    """A row group: anchors of one class in one shard."""

    shard: Store
    number: int
    rows: int


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
        self._groups: dict[Store, dict[int, list[_Group]]] = {}
        self._footers: OrderedDict[Store, pq.FileMetaData] = OrderedDict()
        self._counts: dict[Store, Counter[int]]
        if (self.root / MANIFEST_NAME).exists():
            self.manifest = read_manifest(self.root)
            self._counts = {self.root / shard.name: Counter(shard.counts) for shard in self.manifest.shards}
        else:
            found = [place for place in (self.root / ANCHOR_FOLDER).list() if place.name.endswith(".parquet")]
            if not found:
                raise DataError(str(self.root), expected=f"shards ({ANCHOR_FOLDER}/*.parquet)", found="none")
            self._counts = {
                shard: Counter(
                    {index: sum(g.rows for g in groups) for index, groups in self._read_groups(shard).items()}
                )
                for shard in found
            }

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
                    yield self._opened(file, shard=shard).read(columns=list(names), use_threads=False)

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
        groups = [group for shard in shards for group in self._read_groups(shard).get(class_index, [])]
        generator = None if seed is None else _generator(seed, class_index)
        for place in _order(len(groups), generator):
            table = self._read_group(groups[place])
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
        found: list[tuple[int, int, int, int, int]] = []
        for place, shard in enumerate(self._shards):
            if self._counts[shard].total() == 0:
                continue
            with shard.open() as file:
                metadata = self._opened(file, shard=shard).metadata
            for index, groups in _groups_of(metadata, shard=shard).items():
                found += [
                    (place, g.number, index, g.rows, metadata.row_group(g.number).total_byte_size)
                    for g in groups
                ]
        shards, numbers, indexes, rows, sizes = np.array(sorted(found), np.int64).reshape(-1, 5).T
        return SourceGroups(shards, numbers, indexes, rows, sizes)

    def take(self, part: Take) -> pa.Table:
        """Read consecutive anchors of a row group that `row_groups` told of."""
        group = _Group(self._shards[part.shard], part.number, part.stop)
        return self._read_group(group).slice(part.first, part.stop - part.first)

    @property
    def _shards(self) -> list[Store]:
        return sorted(self._counts, key=lambda shard: shard.name)

    def _passes(self, class_index: int, *, seed: int) -> Iterator[Anchor]:
        generator = _generator(seed, class_index)
        while True:
            yield from self.iter_class(class_index, seed=int(generator.integers(1 << 62)))

    def _read_groups(self, shard: Store) -> dict[int, list[_Group]]:
        if shard not in self._groups:
            with shard.open() as file:
                self._groups[shard] = _groups_of(self._opened(file, shard=shard).metadata, shard=shard)
        return self._groups[shard]

    def _read_group(self, group: _Group) -> pa.Table:
        with group.shard.open() as file:
            parquet = self._opened(file, shard=group.shard)
            with _reading(group.shard, expected="a whole shard"):
                return parquet.read_row_group(group.number, use_threads=False)

    def _opened(self, file: object, *, shard: Store) -> pq.ParquetFile:
        """Open a shard with the footer of last time: in a large set it outweighs a row group."""
        known = self._footers.get(shard)
        with _reading(shard, expected="a Parquet file"):
            parquet = pq.ParquetFile(file, metadata=known, pre_buffer=True)
        if known is None:
            _check_schema(parquet.schema_arrow, shard=shard)
            self._footers[shard] = parquet.metadata
        self._footers.move_to_end(shard)
        while sum(footer.serialized_size for footer in self._footers.values()) > _FOOTER_BYTES:
            self._footers.popitem(last=False)
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


def _groups_of(metadata: pq.FileMetaData, *, shard: Store) -> dict[int, list[_Group]]:
    column = ANCHOR_SCHEMA.names.index("class_index")
    groups: dict[int, list[_Group]] = {}
    for number in range(metadata.num_row_groups):
        meta = metadata.row_group(number)
        # Parquet numbers leaf columns; the lists, which have leaves of their own, all come after this one.
        statistics = meta.column(column).statistics
        if statistics is None or statistics.min != statistics.max:
            raise DataError(
                str(shard), expected="row groups of one class each", found=f"others, group {number}"
            )
        groups.setdefault(int(statistics.min), []).append(_Group(shard, number, meta.num_rows))
    return groups


def _generator(seed: int, class_index: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{class_index}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def _order(count: int, generator: np.random.Generator | None) -> list[int]:
    order: list[int] = (np.arange(count) if generator is None else generator.permutation(count)).tolist()
    return order
