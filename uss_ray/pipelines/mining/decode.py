"""Clips become waveforms, some of them together a packet. Runs in CPU tasks, apart from the networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from uss_ray.datasets.labelled_clips import LabelledClip
from uss_ray.parallel import map_stream
from uss_ray.pipelines.mining.clips import clips_of
from uss_ray.pipelines.mining.packets import Clip, Decoded, decode_item, packet_table
from uss_ray.pipelines.runtime.run_state import is_stopping
from uss_ray.store.store import Store, StoreOptions

PACKET_SAMPLES = 1 << 25
"""Most sound that travels at once: 128 MiB, 1048 s at 32 kHz."""

_FETCHERS = 8  # threads of a task whose clips have to be fetched one by one
_CLIPS_A_LOOK = 16  # between two looks at whether the run is to stop


def decode_packets(
    table: pa.Table, *, sample_rate: int, packet_clips: int, storage: StoreOptions, state: Any
) -> Iterator[pa.Table]:
    """Decode rows of `clips.CLIP_SCHEMA`; give tables of `packets.PACKET_SCHEMA`.

    What is in a packet depends on the rows alone, not on what could be decoded, so that a packet that is repeated has
    the same name.
    """
    clips = list(clips_of(table))
    threads = _FETCHERS if any(_is_fetched(clip) for clip in clips) else 1
    packet: list[Decoded] = []
    samples = 0
    decoded = map_stream(
        partial(decode_item, sample_rate=sample_rate, storage=storage),
        _until_stopped(clips, state),
        threads=threads,
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
        and Store(clip.audio.location).is_remote
    )
