"""Clips become waveforms, some of them together a packet: what travels from who decodes to who mines."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from uss_ray.arrow import struct_of
from uss_ray.datasets.clip_audio import BrokenContainer
from uss_ray.datasets.decode import decode_clip
from uss_ray.datasets.labelled_clips import LabelledClip
from uss_ray.errors import RecordingError
from uss_ray.pipelines.mining.clips import NO_ROW
from uss_ray.pipelines.runtime.packing import pack, packet_schema, unpack
from uss_ray.records import content_key
from uss_ray.store.faults import is_infrastructure, is_missing
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store
from uss_ray.wording import plain

logger = logging.getLogger(__name__)

Clip = LabelledClip | BrokenContainer

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
    content : int, default=0
        What it holds, as `content_key`.
    """

    row: int
    clip_id: str
    class_indexes: tuple[int, ...]
    status: ClipStatus
    reason: str | None = None
    decode_seconds: float = 0.0
    content: int = 0


PACKET_SCHEMA = packet_schema("clips", struct_of(PacketClip))

Decoded = tuple[PacketClip, NDArray[np.float32]]
"""A clip and its waveform (samples,): mono, at the model's rate, real sound only; empty unless it is `sound`."""


def decode_item(item: Clip, *, sample_rate: int, storage: StoreOptions | None = None) -> Decoded:
    """Decode one clip; whatever goes wrong is told by its status.

    Parameters
    ----------
    item : LabelledClip or BrokenContainer
    sample_rate : int
        Of the waveform, in Hz.
    storage : StoreOptions, optional
        How the clip's file is reached.

    Returns
    -------
    (PacketClip, ndarray of shape (samples,))
    """
    nothing = np.zeros(0, np.float32)
    if isinstance(item, BrokenContainer):
        reason = plain(f"{item.location}: {item.reason}")
        return (
            PacketClip(row=NO_ROW, clip_id="", class_indexes=(), status="container", reason=reason),
            nothing,
        )
    began = time.monotonic()
    record = item.record
    clip = PacketClip(
        row=item.row,
        clip_id=record.clip_id,
        class_indexes=record.class_indexes,
        status="sound",
        content=content_key(item.audio.content_tag),
    )
    try:
        decoded = decode_clip(item, sample_rate=sample_rate, storage=storage)
    except RecordingError as error:
        # Its file was listed a moment ago: it is removed, or the disk with the audio is away.
        has_vanished = is_missing(error) and Store(item.audio.location, storage).is_gone()
        status: ClipStatus = "unfinished" if has_vanished or is_infrastructure(error) else "broken"
        return replace(clip, status=status, reason=error.reason), nothing
    except Exception as error:
        logger.exception("%s: unexpected error", plain(item.audio.location))
        reason = plain(f"unexpected {type(error).__name__}: {error}")
        status = "unfinished" if is_infrastructure(error) else "broken"
        return replace(clip, status=status, reason=reason), nothing
    clip = replace(clip, decode_seconds=time.monotonic() - began)
    return clip, decoded.waveform[: decoded.real_samples]


def packet_table(clips: Sequence[Decoded]) -> pa.Table:
    """Make a table of one row of `PACKET_SCHEMA`."""
    return pack(
        [asdict(clip) for clip, _ in clips], [waveform for _, waveform in clips], schema=PACKET_SCHEMA
    )


def packets_of(table: pa.Table) -> Iterator[list[Decoded]]:
    """Read the packets of a table; waveforms are views into it that must not be written to."""
    for packet in unpack(table):
        yield [
            (PacketClip(**{**fields, "class_indexes": tuple(fields["class_indexes"])}), waveform)
            for fields, waveform in packet
        ]
