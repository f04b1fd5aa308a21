"""Clips become waveforms, some of them together a packet. Runs in CPU tasks, apart from the networks."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from uss_ray.datasets.clip_audio import BrokenContainer
from uss_ray.datasets.decode import decode_clip
from uss_ray.datasets.labelled_clips import LabelledClip
from uss_ray.datasets.parallel import map_stream
from uss_ray.errors import RecordingError
from uss_ray.pipelines.mining.clips import NO_ROW, clips_of
from uss_ray.pipelines.mining.packets import ClipStatus, Decoded, PacketClip, packet_table
from uss_ray.pipelines.runtime.run_state import is_stopping
from uss_ray.store import uri
from uss_ray.store.access import StorageAccess
from uss_ray.store.faults import is_infrastructure

logger = logging.getLogger(__name__)

PACKET_SAMPLES = 1 << 25
"""Most sound that travels at once: 128 MiB, 1048 s at 32 kHz."""

_FETCHERS = 8  # threads of a task whose clips have to be fetched one by one
_CLIPS_A_LOOK = 16  # between two looks at whether the run is to stop

Clip = LabelledClip | BrokenContainer


def decode_packets(
    table: pa.Table, *, sample_rate: int, packet_clips: int, storage: StorageAccess, state: Any
) -> Iterator[pa.Table]:
    """Decode rows of `clips.CLIP_SCHEMA`; give tables of `packets.PACKET_SCHEMA`.

    What is in a packet depends on the rows alone, not on what could be decoded, so that a packet that is repeated has
    the same name.
    """
    storage.apply()
    clips = list(clips_of(table))
    threads = _FETCHERS if any(_is_fetched(clip) for clip in clips) else 1
    packet: list[Decoded] = []
    samples = 0
    decoded = map_stream(
        partial(decode_item, sample_rate=sample_rate), _until_stopped(clips, state), threads=threads
    )
    for clip, item in zip(clips, decoded, strict=False):
        packet.append(item)
        if isinstance(clip, LabelledClip):
            samples += round((clip.record.end_seconds - clip.record.start_seconds) * sample_rate)
        if len(packet) >= packet_clips or samples >= PACKET_SAMPLES:
            yield packet_table(packet)
            packet, samples = [], 0
    if packet:
        yield packet_table(packet)


def _until_stopped(clips: Sequence[Clip], state: Any) -> Iterator[Clip]:
    for number, clip in enumerate(clips):
        if number % _CLIPS_A_LOOK == 0 and is_stopping(state):
            return
        yield clip


def _is_fetched(clip: Clip) -> bool:
    """Tell whether a clip's file is still in a store: then it is waited for, and others can be meanwhile."""
    return (
        isinstance(clip, LabelledClip)
        and clip.audio.data is None
        and clip.audio.samples is None
        and uri.is_remote(clip.audio.location)
    )


def decode_item(item: Clip, *, sample_rate: int) -> Decoded:
    """Decode one clip; whatever goes wrong is told by its status.

    Parameters
    ----------
    item : LabelledClip or BrokenContainer
    sample_rate : int
        Of the waveform, in Hz.

    Returns
    -------
    (PacketClip, ndarray of shape (samples,))
    """
    nothing = np.zeros(0, np.float32)
    if isinstance(item, BrokenContainer):
        reason = f"{item.location}: {item.reason}"
        return (
            PacketClip(row=NO_ROW, clip_id="", class_indexes=(), status="container", reason=reason),
            nothing,
        )
    began = time.monotonic()
    record = item.record
    clip = PacketClip(
        row=item.row, clip_id=record.clip_id, class_indexes=record.class_indexes, status="sound"
    )
    try:
        decoded = decode_clip(item, sample_rate=sample_rate)
    except RecordingError as error:
        status: ClipStatus = "unfinished" if is_infrastructure(error) else "broken"
        return replace(clip, status=status, reason=error.reason), nothing
    except Exception as error:
        logger.exception("%s: unexpected error", item.audio.location)
        reason = f"unexpected {type(error).__name__}: {error}"
        return replace(clip, status="broken", reason=reason), nothing
    clip = replace(clip, decode_seconds=time.monotonic() - began)
    return clip, decoded.waveform[: decoded.real_samples]
