"""Evaluation lists: a row an item, and what its sound is mixed of. Owns the records, the Parquet file and the hash."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from uss_ray.arrow import schema_of, table_of
from uss_ray.config import canonical_json
from uss_ray.errors import DataError
from uss_ray.parsing import read_object
from uss_ray.store.store import Location, Store

Protocol = Literal["published", "strict"]
Role = Literal["target", "other", "mixture", "tag"]

_HEADER = b"uss_ray.evaluation_list"


@dataclass(frozen=True, kw_only=True)
class ItemSource:
    """A piece of a file at its place in an item.

    Parameters
    ----------
    role : {"target", "other", "mixture", "tag"}
        What is to be found, what it is mixed with, a mixture that comes with the data, or a label of that.
    path : str
        Below the data's root.
    label : str
        As the data name it.
    class_id : str or None
        The ontology node that this is.
    start_seconds, seconds : float
        Place in the file; 0 seconds: all the rest of it. A file that is shorter is repeated.
    position_seconds : float
        Where the piece begins in the item.
    gain : float
        Linear.
    fade_seconds : float
        At both ends of the piece.
    is_cut_first : bool
        Whether the piece is cut before rates are converted; otherwise the whole file is converted.
    track : int
        Of a file with several sound tracks; otherwise 0.
    size_bytes : int or None
        Of the file, where the store tells.
    sounds : tuple of (float, float)
        Start and end of each time in which it sounds, in seconds of the item; empty where that is not known.
    channel : int or None
        What of its channels is heard; None: their mean.
    """

    role: Role
    path: str
    label: str
    class_id: str | None = None
    start_seconds: float = 0.0
    seconds: float = 0.0
    position_seconds: float = 0.0
    gain: float = 1.0
    fade_seconds: float = 0.0
    is_cut_first: bool = False
    track: int = 0
    size_bytes: int | None = None
    sounds: tuple[tuple[float, ...], ...] = ()
    channel: int | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """One mixture, and what is to be found in it.

    Parameters
    ----------
    item_id : str
        Unique in the list.
    label : str
        What the scores of its only target are grouped by; empty where it has several.
    seconds : float
        0: as long as its first source.
    sample_rate : int
        In Hz; 0: that of its first source.
    protocol : {"published", "strict"}
    seed : int
    sources : tuple of ItemSource
        Targets of one label are one target.
    """

    item_id: str
    label: str
    seconds: float
    sample_rate: int
    protocol: Protocol
    seed: int
    sources: tuple[ItemSource, ...]

    @property
    def targets(self) -> tuple[ItemSource, ...]:
        """Give the first source of each target."""
        first: dict[str, ItemSource] = {}
        for source in self.sources:
            if source.role == "target":
                first.setdefault(source.label, source)
        return tuple(first.values())


@dataclass(frozen=True, kw_only=True)
class EvaluationList:
    """The items of a benchmark.

    Parameters
    ----------
    benchmark, split : str
    protocol : {"published", "strict"}
    seed : int
    items : tuple of Item
        By id.
    missing : int, default=0
        Items that were left out because their files are not there.
    """

    benchmark: str
    split: str
    protocol: Protocol
    seed: int
    items: tuple[Item, ...]
    missing: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(sorted(self.items, key=lambda item: item.item_id)))

    @cached_property
    def sha256(self) -> str:
        """Name the list by what it says, whatever the order it was drawn in; sizes of files are no part of it."""
        digest = hashlib.sha256(canonical_json(self._header()).encode())
        for item in self.items:
            plain = dataclasses.asdict(item)
            for source in plain["sources"]:
                del source["size_bytes"]
                for name, none in (("sounds", ()), ("channel", None)):
                    if source[name] == none:  # lists that were written before there were any keep their name
                        del source[name]
            digest.update(canonical_json(plain).encode())
        return digest.hexdigest()

    @property
    def paths(self) -> set[str]:
        """Name each file that it is made of."""
        return {source.path for item in self.items for source in item.sources}

    def only(self, class_ids: Set[str]) -> EvaluationList:
        """Keep the items all of whose targets are of some classes.

        Raises
        ------
        DataError
            If there is none.
        """
        items = tuple(
            item for item in self.items if all(source.class_id in class_ids for source in item.targets)
        )
        if not items:
            raise DataError(f"list of {self.benchmark}", expected="items of these classes", found="none")
        return dataclasses.replace(self, items=items)

    def _header(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "split": self.split,
            "protocol": self.protocol,
            "seed": self.seed,
            "missing": self.missing,
        }

    def to_parquet(self) -> bytes:
        """Give the file."""
        header = json.dumps({**self._header(), "sha256": self.sha256}).encode()
        schema = schema_of(Item, metadata={_HEADER: header})
        table = pa.Table.from_pylist([dataclasses.asdict(item) for item in self.items], schema=schema)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()


def read_list(location: Location | Store) -> EvaluationList:
    """Read a list of `EvaluationList.to_parquet`.

    Raises
    ------
    DataError
        If it is no such file, or has been changed.
    """
    place = Store.of(location, DataError)
    expected = "an evaluation list in Parquet"
    table = table_of(place.read(), str(place), expected=expected)
    told = (table.schema.metadata or {}).get(_HEADER)
    if told is None or set(table.schema.names) != set(schema_of(Item).names):
        raise DataError(str(place), expected=expected, found="another table")
    expected = "the header of an evaluation list"
    header = read_object(told, item=str(place), expected=expected)
    try:
        sha256 = str(header.pop("sha256"))
        listed = EvaluationList(**header, items=tuple(_item(row) for row in table.to_pylist()))
    except (KeyError, TypeError) as error:
        raise DataError(str(place), expected=expected, found=str(error)) from error
    if listed.sha256 != sha256:
        raise DataError(str(place), expected=f"a list with sha256 {sha256[:12]}", found=listed.sha256[:12])
    return listed


def _item(row: dict[str, Any]) -> Item:
    sources = cast(Sequence[dict[str, Any]], row.pop("sources"))
    for source in sources:
        source["sounds"] = tuple(tuple(times) for times in source.get("sounds", ()))
    return Item(**row, sources=tuple(ItemSource(**source) for source in sources))
