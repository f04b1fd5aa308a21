"""What travels from the workers that decode to those that mine: the waveforms of some clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

ClipStatus = Literal["sound", "broken", "unfinished", "container"]
"""`broken`: the clip is at fault. `unfinished`: the store is. `container`: no clip, but a container that is broken."""


@dataclass(frozen=True, kw_only=True)
class PacketClip:
    """A clip on its way.

    Parameters
    ----------
    row : int
        Of the segment table.
    clip_id : str
        See `clips.excerpt_id`.
    class_indexes : tuple of int
        Weak labels.
    status : {"sound", "broken", "unfinished", "container"}
    reason : str or None, default=None
        One line, for all but `sound`.
    decode_seconds : float, default=0.0
        Time it took to read.
    """

    row: int
    clip_id: str
    class_indexes: tuple[int, ...]
    status: ClipStatus
    reason: str | None = None
    decode_seconds: float = 0.0


PACKET_SCHEMA = pa.schema(
    [
        pa.field(
            "clips",
            pa.list_(
                pa.struct(
                    [
                        pa.field("row", pa.int32(), False),
                        pa.field("clip_id", pa.string(), False),
                        pa.field("class_indexes", pa.list_(pa.int16()), False),
                        pa.field("status", pa.string(), False),
                        pa.field("reason", pa.string()),
                        pa.field("decode_seconds", pa.float64(), False),
                    ]
                )
            ),
            False,
        ),
        pa.field("waveforms", pa.list_(pa.large_binary()), False),
    ]
)

Decoded = tuple[PacketClip, NDArray[np.float32]]
"""A clip and its waveform (samples,): mono, at the model's rate, real sound only; empty unless it is `sound`."""


def packet_table(clips: Sequence[Decoded]) -> pa.Table:
    """Make a table of one row of `PACKET_SCHEMA`."""
    sizes = [waveform.nbytes for _, waveform in clips]
    data = pa.py_buffer(np.concatenate([waveform for _, waveform in clips]))
    offsets = pa.py_buffer(np.concatenate(([0], np.cumsum(sizes))).astype(np.int64))
    waveforms = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(clips), [None, offsets, data])
    ends = pa.array([0, len(clips)], type=pa.int32())
    kind = PACKET_SCHEMA.field("clips").type.value_type
    rows = pa.array([asdict(clip) for clip, _ in clips], type=kind)
    columns = [pa.ListArray.from_arrays(ends, rows), pa.ListArray.from_arrays(ends, waveforms)]
    return pa.Table.from_arrays(columns, schema=PACKET_SCHEMA)


def packets_of(table: pa.Table) -> Iterator[list[Decoded]]:
    """Read the packets of a table; waveforms are views into it that must not be written to."""
    for row in range(len(table)):
        waveforms: Any = table["waveforms"][row].values
        yield [
            (
                PacketClip(**{**record, "class_indexes": tuple(record["class_indexes"])}),
                np.frombuffer(waveforms[place].as_buffer(), dtype=np.float32),
            )
            for place, record in enumerate(table["clips"][row].as_py())
        ]
