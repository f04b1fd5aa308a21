"""Some items and their waveforms as one row of a table: what an actor gets at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

WAVEFORMS = "waveforms"
_SAMPLE_BYTES = 4

Packed = tuple[dict[str, Any], NDArray[np.float32]]
"""The fields of an item, and its samples, flat."""


def packet_schema(name: str, item: pa.StructType) -> pa.Schema:
    """Describe packets: a column of the items' fields under a name, and one of their waveforms."""
    return pa.schema(
        [
            pa.field(name, pa.list_(item), False),
            pa.field(WAVEFORMS, pa.list_(pa.large_binary()), False),
        ]
    )


def pack(
    items: Sequence[dict[str, Any]], waveforms: Sequence[NDArray[np.float32]], *, schema: pa.Schema
) -> pa.Table:
    """Make a table of one row; the waveform of a single item is not copied."""
    flat = [np.ascontiguousarray(waveform, dtype=np.float32).ravel() for waveform in waveforms]
    data = pa.py_buffer(flat[0] if len(flat) == 1 else np.concatenate(flat))
    offsets = np.concatenate(([0], np.cumsum([waveform.nbytes for waveform in flat]))).astype(np.int64)
    binaries = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(flat), [None, pa.py_buffer(offsets), data]
    )
    ends = pa.array([0, len(items)], type=pa.int32())
    rows = pa.array(items, type=schema.field(0).type.value_type)
    columns = [pa.ListArray.from_arrays(ends, rows), pa.ListArray.from_arrays(ends, binaries)]
    return pa.Table.from_arrays(columns, schema=schema)


def unpack(table: pa.Table) -> Iterator[list[Packed]]:
    """Read the packets of a table; waveforms are views into it that must not be written to."""
    for row in range(len(table)):
        yield list(zip(table[0][row].as_py(), _views(table[WAVEFORMS][row].values), strict=True))


def _views(waveforms: pa.LargeBinaryArray) -> Iterator[NDArray[np.float32]]:
    """Look into the array's own memory: Arrow would copy each of its values."""
    _, places, data = waveforms.buffers()
    offsets = np.frombuffer(places, np.int64)[waveforms.offset : waveforms.offset + len(waveforms) + 1]
    for start, stop in pairwise(offsets.tolist()):
        if start == stop:
            yield np.zeros(0, np.float32)
        else:
            view = np.frombuffer(data, np.float32, count=(stop - start) // _SAMPLE_BYTES, offset=start)
            view.flags.writeable = False
            yield view
