"""What travels from the workers that decode to those that separate: units of sound, some of them together.

A unit is a recording or one span of a long one. Units that carry no sound tell what became of a recording on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from uss_ray.arrow import struct_of
from uss_ray.pipelines.runtime.packing import pack, packet_schema, unpack
from uss_ray.records import Recording

SPAN_SAMPLES = 1 << 24
"""Most sound of a span, which travels alone: 64 MiB, 174 s of 48 kHz stereo."""

GPU_PACKET_SAMPLES = 1 << 22
"""Most sound that travels together to a GPU, 43 s of 48 kHz stereo: enough rows for its batches, and all recordings
of a packet are open at a time."""

CPU_PACKET_SAMPLES = 1 << 20
"""The same on a CPU, 11 s of 48 kHz stereo: it separates one row at a time whatever comes together."""

UnitStatus = Literal["sound", "done", "failed", "unfinished"]
"""`done`: a span that an earlier run has separated. `failed`: the recording is at fault. `unfinished`: the store is."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One recording, or one span of a long one, on its way through the workers.

    Parameters
    ----------
    recording_id, recording_uri, content_tag, sha256
        See `records.Recording`; the last comes with the last unit, for the recording has been read by then.
    status : {"sound", "done", "failed", "unfinished"}
        What is known of it.
    reason : str or None, default=None
        One line, for `failed` and `unfinished`.
    part : int or None, default=None
        Number of the span from 0; None for a recording in one piece.
    is_last : bool, default=True
        Whether the recording ends with this unit.
    first_segment, last_segment : int or None, default=None
        The span on the segment grid, half open; None for a recording in one piece, and for the end of the last span.
    start_frame : int, default=0
        Position of the waveform's first frame in the recording; spans come with some sound before and after.
    ends_recording : bool, default=True
        Whether the waveform reaches the end of the recording.
    sample_rate, channels : int, default=0
        Of the recording.
    frames : int or None, default=None
        Length of the recording, where it is known.
    format, subtype, decoder, note, tags
        See `audio.spec.AudioSpec`; tags as text.
    decode_seconds : float, default=0.0
        Time it took to read.
    decode_peak_bytes : int, default=0
        Most memory that whoever decoded it had taken by then.
    """

    recording_id: str
    recording_uri: str
    status: UnitStatus
    content_tag: str | None = None
    sha256: str | None = None
    reason: str | None = None
    part: int | None = None
    is_last: bool = True
    first_segment: int | None = None
    last_segment: int | None = None
    start_frame: int = 0
    ends_recording: bool = True
    sample_rate: int = 0
    channels: int = 0
    frames: int | None = None
    format: str = ""
    subtype: str = ""
    decoder: str = "libsndfile"
    note: str | None = None
    tags: str = ""
    decode_seconds: float = 0.0
    decode_peak_bytes: int = 0

    @property
    def recording(self) -> Recording:
        """Which recording it belongs to."""
        return Recording(
            recording_uri=self.recording_uri,
            recording_id=self.recording_id,
            content_tag=self.content_tag,
            sha256=self.sha256,
        )


PACKET_SCHEMA = packet_schema("units", struct_of(Unit))

Sounding = tuple[Unit, NDArray[np.float32]]
"""A unit and its waveform (channels, frames), of no frames where it carries no sound."""


def packet_table(units: Sequence[Sounding]) -> pa.Table:
    """Make a table of one row of units that are separated side by side.

    Parameters
    ----------
    units : sequence of (Unit, ndarray of shape (channels, frames))

    Returns
    -------
    pyarrow.Table
        Of `PACKET_SCHEMA`.
    """
    return pack([vars(unit) for unit, _ in units], [waveform for _, waveform in units], schema=PACKET_SCHEMA)


def packets_of(table: pa.Table) -> Iterator[list[Sounding]]:
    """Read the packets of a table; waveforms are views into it that must not be written to."""
    for packet in unpack(table):
        units = [(Unit(**fields), waveform) for fields, waveform in packet]
        yield [(unit, waveform.reshape(max(1, unit.channels), -1)) for unit, waveform in units]


class PacketBuilder:
    """Gather units until there are enough of them, or enough sound.

    Parameters
    ----------
    most_units : int
    most_samples : int
        Over all channels; a unit that holds more by itself makes a packet of its own.
    """

    def __init__(self, *, most_units: int, most_samples: int) -> None:
        self._most_units = most_units
        self._most_samples = most_samples
        self._units: list[Sounding] = []

    def add(self, unit: Unit, waveform: NDArray[np.float32] | None = None) -> Iterator[pa.Table]:
        """Take a unit; give the packet that is full without it, or with it."""
        sound = np.zeros((1, 0), dtype=np.float32) if waveform is None else waveform
        held = sum(waveform.size for _, waveform in self._units)
        if self._units and held + sound.size > self._most_samples:
            yield from self.flush()
        # A span goes alone: the workers share a long recording.
        self._units.append((unit, sound))
        if len(self._units) >= self._most_units or unit.part is not None:
            yield from self.flush()

    def flush(self) -> Iterator[pa.Table]:
        """Give what is left."""
        if self._units:
            yield packet_table(self._units)
            self._units = []
