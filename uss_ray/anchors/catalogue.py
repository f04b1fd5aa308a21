"""What the anchors of a pack are, without their sound: which class, which row group, what else may sound in them.

Arrays of a few bytes an anchor, so that four million of them are planned with from memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

CATALOGUE_SCHEMA = pa.schema(
    [
        pa.field("class_index", pa.int16(), False),
        pa.field("shard", pa.int32(), False),
        pa.field("group", pa.int32(), False),
        pa.field("clip", pa.int64(), False),
        pa.field("label_indexes", pa.list_(pa.int16()), False),
        pa.field("heard_indexes", pa.list_(pa.int16()), False),
    ]
)
"""One row an anchor, in the order of the pack: its class, the shard and the row group in it, a hash of the clip it is
from, the clip's weak labels, and the classes that the detector did not rule out in it."""


RECORDING_FIELD = pa.field("recording", pa.int64())
"""A hash of the recording, a column behind those of the schema where a clip is an excerpt of one; null stands for that
of the clip."""


@dataclass(frozen=True, eq=False)
class Lists:
    """A list of small integers for each anchor, end to end.

    Parameters
    ----------
    values : ndarray of shape (all,), dtype=int16
    ends : ndarray of shape (anchors + 1,), dtype=int32
        Where each list begins, and the last one ends.
    """

    values: NDArray[np.int16]
    ends: NDArray[np.int32]

    def of(self, row: int) -> NDArray[np.int16]:
        """Give the list of an anchor."""
        return self.values[self.ends[row] : self.ends[row + 1]]


@dataclass(frozen=True, eq=False)
class ClassGroups:
    """The row groups of one class.

    Parameters
    ----------
    first : ndarray of shape (groups,), dtype=int64
        The first anchor of each, as row of the catalogue.
    rows : ndarray of shape (groups,), dtype=int64
        How many there are in each.
    """

    first: NDArray[np.int64]
    rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class AnchorCatalogue:
    """All anchors of a pack, sorted by class and row group.

    Parameters
    ----------
    name : str
        What errors call it.
    class_indexes : ndarray of shape (anchors,), dtype=int16
    shards, groups : ndarray of shape (anchors,), dtype=int32
    clips : ndarray of shape (anchors,), dtype=int64
        Equal for anchors of one clip.
    labels, heard : Lists
        Weak labels of the clip, and classes that the detector did not rule out in the anchor.
    recordings : ndarray of shape (anchors,), dtype=int64
        Equal for anchors of one recording, of which several clips may be excerpts.
    """

    name: str
    class_indexes: NDArray[np.int16]
    shards: NDArray[np.int32]
    groups: NDArray[np.int32]
    clips: NDArray[np.int64]
    labels: Lists
    heard: Lists
    recordings: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.class_indexes)

    @classmethod
    def of_table(cls, table: pa.Table, *, name: str) -> Self:
        """Make it of a table of `CATALOGUE_SCHEMA`, with `RECORDING_FIELD` or without."""
        table = table.combine_chunks()
        clips = table["clip"].to_numpy()
        recordings = clips
        if RECORDING_FIELD.name in table.schema.names:
            recordings = pc.coalesce(table[RECORDING_FIELD.name], table["clip"]).to_numpy()
        return cls(
            name=name,
            class_indexes=table["class_index"].to_numpy(),
            shards=table["shard"].to_numpy(),
            groups=table["group"].to_numpy(),
            clips=clips,
            recordings=recordings,
            labels=_lists(table["label_indexes"]),
            heard=_lists(table["heard_indexes"]),
        )

    @property
    def classes(self) -> list[int]:
        """Class indexes that have anchors, ascending."""
        return sorted(self._groups)

    @property
    def counts(self) -> dict[int, int]:
        """Anchors of each class index, ascending."""
        return {index: int(self._groups[index].rows.sum()) for index in self.classes}

    def groups_of(self, class_index: int) -> ClassGroups:
        """Give the row groups of a class; KeyError where it has none."""
        return self._groups[class_index]

    @cached_property
    def _groups(self) -> dict[int, ClassGroups]:
        begins = np.zeros(len(self), np.bool_)
        begins[:1] = True
        for key in (self.class_indexes, self.shards, self.groups):
            begins[1:] |= key[1:] != key[:-1]
        starts = np.flatnonzero(begins)
        rows = np.diff(np.r_[starts, len(self)])
        classes = self.class_indexes[starts]
        return {
            int(index): ClassGroups(first=starts[classes == index], rows=rows[classes == index])
            for index in np.unique(classes)
        }


def _lists(column: pa.ChunkedArray) -> Lists:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    return Lists(values=array.flatten().to_numpy(), ends=array.offsets.to_numpy())
