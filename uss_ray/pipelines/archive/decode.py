"""Recordings become units of sound: a short one whole, a long one in spans with some sound around each.

A recording is decoded once, from its start to its end, in memory that does not grow with it; by workers that do without
the networks' libraries.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from uss_ray.api.publisher import check_before_work, parts_folder
from uss_ray.api.request import SeparationRequest
from uss_ray.audio.codec import RecordingReader
from uss_ray.audio.resample import context_seconds
from uss_ray.errors import OutputError, RecordingError
from uss_ray.pipelines.archive.ledger import done_parts
from uss_ray.pipelines.archive.packets import PacketBuilder, Sounding, Unit, UnitStatus
from uss_ray.pipelines.runtime.metrics import peak_memory_bytes
from uss_ray.pipelines.runtime.run_state import StopSign
from uss_ray.records import Recording
from uss_ray.results.options import WriteOptions
from uss_ray.sources.reading import open_digested_recording
from uss_ray.store.faults import is_infrastructure, is_missing
from uss_ray.store.store import Store, StoreOptions
from uss_ray.wording import plain

logger = logging.getLogger(__name__)

_STEADY = "a recording that stays as it is while it is read"
_LEAST_SEGMENTS = 4  # of a span, even of a recording of very many channels


@dataclass(frozen=True, kw_only=True)
class SpanPlan:
    """How long recordings are cut.

    Parameters
    ----------
    segment_seconds : int
        Step of the segment grid.
    context_seconds : int
        Sound that a span needs before and after it, at rates from 256 Hz on; see
        `SeparationEngine.span_context_seconds`.
    span_seconds : int
        Longest span, and longest recording that stays in one piece.
    span_samples : int
        The same limit in samples over all channels; the lower one holds.
    """

    segment_seconds: int
    context_seconds: int
    span_seconds: int
    span_samples: int

    def span_segments(self, *, sample_rate: int, channels: int) -> int:
        """Tell how many segments of a recording make a span."""
        seconds = min(self.span_seconds, self.span_samples / (sample_rate * channels))
        return max(_LEAST_SEGMENTS, int(seconds // self.segment_seconds))

    def context_frames(self, sample_rate: int) -> int:
        """Tell how much sound of a recording a span needs before and after it: below 256 Hz, resampling reaches far."""
        return (self.context_seconds - 1 + context_seconds(sample_rate)) * sample_rate


def decode_packets(
    table: pa.Table,
    *,
    request: SeparationRequest,
    plan: SpanPlan,
    packet_units: int,
    packet_samples: int,
    was_listed: bool,
    state: Any,
) -> Iterator[pa.Table]:
    """Decode recordings; give tables of `packets.PACKET_SCHEMA`."""
    stop = StopSign(state)
    builder = PacketBuilder(most_units=packet_units, most_samples=packet_samples)
    for row in table.select(["recording_uri", "recording_id"]).to_pylist():
        recording = Recording(**row)
        if stop:
            return
        try:
            for unit, waveform in decode_recording(
                recording,
                plan=plan,
                storage=request.storage,
                strict=request.strict,
                write=request.write,
                was_listed=was_listed,
                done_parts=lambda item: done_parts(
                    request.output_store, folder=parts_folder(item), content_tag=item.content_tag
                ),
            ):
                yield from builder.add(unit, waveform)
                if unit.part is not None and stop:
                    break
        except Exception as error:
            logger.exception("%s: unexpected error", plain(recording.recording_uri))
            reason = f"unexpected {type(error).__name__}: {error}"
            unit = Unit(
                recording_id=recording.recording_id,
                recording_uri=recording.recording_uri,
                status="unfinished" if is_infrastructure(error) else "failed",
                reason=reason,
            )
            yield from builder.add(unit)
    yield from builder.flush()


def decode_recording(
    recording: Recording,
    *,
    plan: SpanPlan,
    storage: StoreOptions,
    done_parts: Callable[[Recording], Collection[int]],
    strict: bool = False,
    write: WriteOptions | None = None,
    was_listed: bool = False,
) -> Iterator[Sounding]:
    """Decode one recording.

    Parameters
    ----------
    recording : Recording
    plan : SpanPlan
    storage : StoreOptions
        How the recording is reached.
    done_parts : callable
        Tells which spans of a long recording are there from an earlier run; they come without sound.
    strict : bool, default=False
        See `audio.reading.open_recording`.
    write : WriteOptions or None, default=None
        What is to be written; what cannot be fails at once. None writes nothing.
    was_listed : bool, default=False
        Whether it was there a moment ago. Then it is no fault of its own if it is not: somebody has removed it, and the
        next listing lacks it, or the disk with the archive is away.

    Yields
    ------
    (Unit, ndarray of shape (channels, frames))
        At least one; a recording that cannot be decoded ends with a unit that says why.
    """
    started = time.monotonic()
    place = Store(recording.recording_uri, storage)
    recording = replace(
        recording, content_tag=place.content_tag()
    )  # before it is opened: what is read is no older
    facts = Unit(
        recording_id=recording.recording_id,
        recording_uri=recording.recording_uri,
        content_tag=recording.content_tag,
        status="sound",
        is_last=False,
    )
    try:
        with open_digested_recording(place, strict=strict) as (reader, file):
            spec = reader.tagged_spec()
            if write is not None:
                check_before_work(reader.spec, name=reader.name, write=write)
            facts = replace(
                facts,
                sample_rate=spec.sample_rate,
                channels=spec.channels,
                frames=spec.frames,
                format=spec.format,
                subtype=spec.subtype,
                decoder=spec.decoder,
                note=spec.note,
                tags=spec.tags.to_text(),
            )
            for unit, waveform in _units(
                reader, facts=facts, plan=plan, done_parts=lambda: done_parts(recording)
            ):
                if unit.is_last:
                    unit = replace(unit, sha256=file.sha256())
                    # An object is read under its ETag; whoever writes a local file does not ask who reads it.
                    if not place.is_remote and place.has_changed(recording.content_tag):
                        raise RecordingError(
                            str(place), expected=_STEADY, found="one that was changed meanwhile"
                        )
                took = time.monotonic() - started
                yield replace(unit, decode_seconds=took, decode_peak_bytes=peak_memory_bytes()), waveform
                started = time.monotonic()
                if unit.part is not None:
                    facts = replace(facts, part=unit.part + 1)
    except (OutputError, RecordingError) as error:
        is_innocent = (
            is_infrastructure(error)
            or (was_listed and is_missing(error) and place.is_gone())
            or place.has_changed(recording.content_tag)
        )
        status: UnitStatus = "unfinished" if is_innocent else "failed"
        yield (
            replace(facts, status=status, reason=error.reason, is_last=True),
            np.zeros((max(1, facts.channels), 0), dtype=np.float32),
        )


def _units(
    reader: RecordingReader, *, facts: Unit, plan: SpanPlan, done_parts: Callable[[], Collection[int]]
) -> Iterator[Sounding]:
    segment_frames = plan.segment_seconds * facts.sample_rate
    span_segments = plan.span_segments(sample_rate=facts.sample_rate, channels=facts.channels)
    span_frames = span_segments * segment_frames
    context_frames = plan.context_frames(facts.sample_rate)
    window = _Window(reader)
    window.read_until(span_frames + 1)
    if window.ended and window.stop <= span_frames:
        yield replace(facts, is_last=True, frames=window.stop), window.cut(0, window.stop)
        return
    done = done_parts()
    for part in range(2**31):
        start, stop = part * span_frames, (part + 1) * span_frames
        window.read_until(stop + context_frames + 1)
        is_last = window.ended and window.stop <= stop
        unit = replace(
            facts,
            part=part,
            is_last=is_last,
            frames=window.stop if window.ended else facts.frames,
            first_segment=part * span_segments,
            last_segment=None if is_last else (part + 1) * span_segments,
            start_frame=max(0, start - context_frames),
            ends_recording=window.ended and window.stop <= stop + context_frames,
        )
        if part in done:
            yield replace(unit, status="done"), np.zeros((facts.channels, 0), dtype=np.float32)
        else:
            yield unit, window.cut(unit.start_frame, min(stop + context_frames, window.stop))
        if is_last:
            return
        window.forget(stop - context_frames)


class _Window:
    """The part of a recording that is in memory."""

    def __init__(self, reader: RecordingReader) -> None:
        self._blocks = reader.blocks(reader.sample_rate)
        self._held: list[NDArray[np.float32]] = []
        self._start = 0
        self.stop = 0
        self.ended = False

    def read_until(self, frame: int) -> None:
        while not self.ended and self.stop < frame:
            block = next(self._blocks, None)
            if block is None:
                self.ended = True
            else:
                self._held.append(block)
                self.stop += block.shape[1]

    def cut(self, start: int, stop: int) -> NDArray[np.float32]:
        """Copy [start, stop)."""
        self._held = [np.concatenate(self._held, axis=1)]
        return self._held[0][:, start - self._start : stop - self._start].copy()

    def forget(self, until: int) -> None:
        """Drop what lies before a frame."""
        while self._held and self._start + self._held[0].shape[1] <= until:
            self._start += self._held[0].shape[1]
            del self._held[0]
        if self._held and self._start < until:
            self._held[0] = self._held[0][:, until - self._start :].copy()
            self._start = until
