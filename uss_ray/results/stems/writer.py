"""One pass from the blocks of the engine to what stays: stems, residuals, index rows, and data for the report.

Holds one block at a time, whatever the length of the recording. A stem is opened when it is first heard, and
gets its final name when everything has gone well; if anything fails, nothing is left under a final name.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from uss_ray.audio.spec import StemFormat, StemSubtype
from uss_ray.results.blocks import (
    EstimateBlock,
    Geometry,
    check_length,
    checked_blocks,
    segment_bounds,
)
from uss_ray.results.blocks import StemRequest as StemRequest
from uss_ray.results.index.activity import ActivityLog
from uss_ray.results.index.table import RecordingFacts, RunFacts
from uss_ray.results.options import WriteMode
from uss_ray.results.report.portrait import PortraitPainter
from uss_ray.results.stem_plan import Asked
from uss_ray.results.stems.files import Encoding
from uss_ray.results.stems.tracks import Tracks
from uss_ray.results.stems.written import WrittenRecording as WrittenRecording
from uss_ray.results.stems.written import put_together

SILENCE_DB = -70.0
FADE_SECONDS = 0.25


def write_estimates(
    blocks: Iterable[EstimateBlock],
    *,
    stems: Sequence[StemRequest],
    root: Path,
    recording: RecordingFacts,
    run: RunFacts,
    stem_format: StemFormat = "flac",
    subtype: StemSubtype = "PCM_24",
    residual: bool = True,
    write: WriteMode = "stems",
    silence_db: float = SILENCE_DB,
    fade_seconds: float = FADE_SECONDS,
    draw: bool = True,
    started: float | None = None,
) -> WrittenRecording:
    """Write the stems of one recording and say what became of each.

    Parameters
    ----------
    blocks : iterable of EstimateBlock
        From the engine, in order.
    stems : sequence of StemRequest
        What was asked for, in the order of the engine's targets; keys are unique.
    root : Path
        Output root, a local folder.
    recording : RecordingFacts
        Rate and channels must be known; the length may be open.
    run : RunFacts
        The run, for the index.
    stem_format : StemFormat, default="flac"
        Container of the stems.
    subtype : StemSubtype, default="PCM_24"
        Coding of the stems.
    residual : bool, default=True
        Whether to write, for each level and for the queries, the mixture minus their stems. Only with whole stems.
    write : {"stems", "active-spans", "index-only"}, default="stems"
        Whole stems as long as the recording; or one file for each active span, with half a fade on both sides; or
        no file at all, for blocks without estimates.
    silence_db : float, default=-70.0
        Peak in dB relative to full scale at or below which a segment is not heard. A stem, or the file of a span,
        has sound from the first segment on in which it is heard, and is not kept if there is none. Residuals are
        made from what is kept, so that the stems of a level and its residual sum to the mixture whatever this is.
    fade_seconds : float, default=0.25
        Length of the cross-fade between segments, for the files of spans.
    draw : bool, default=True
        Whether to keep pictures and a preview for a report.
    started : float or None, default=None
        When the work on the recording began, on the monotonic clock; None leaves open how long it took.

    Returns
    -------
    WrittenRecording
        Rows for the index and data for the report.

    Raises
    ------
    ConfigError
        If keys repeat or the facts lack rate or channels.
    RecordingError
        If the blocks have gaps, are empty altogether or are not as long as the recording.
    OutputError
        If a stem cannot be written.
    """
    asked, geometry = Asked.of(stems), Geometry.of(recording)
    encoding = Encoding(geometry.sample_rate, geometry.channels, recording.frames, stem_format, subtype)
    tracks = Tracks(
        asked,
        root=root,
        recording_id=recording.recording_id,
        encoding=encoding,
        write=write,
        residual=residual,
        silence_db=silence_db,
        fade_seconds=fade_seconds,
        draw=draw,
    )
    log = ActivityLog(asked.keys)
    n_frames = 0
    with contextlib.ExitStack() as stack:
        painter = PortraitPainter(geometry, frames=recording.frames) if draw else None
        if painter is not None:
            stack.enter_context(painter)
        on_failure = stack.enter_context(contextlib.ExitStack())
        on_failure.callback(tracks.discard)
        for block in checked_blocks(
            iter(blocks), start_frame=0, geometry=geometry, name=recording.recording_uri
        ):
            n_frames += block.mixture.shape[1]
            log.add(block.segment_probs, active=block.active, spans_seconds=block.segment_spans_seconds)
            _take_block(block, tracks=tracks, asked=asked, sample_rate=geometry.sample_rate)
            if painter is not None:
                painter.add(block.mixture)
        check_length(n_frames, recording=recording)
        tracks.finish(n_frames)
        portrait = None if painter is None else painter.result(tracks.drawn())
        on_failure.pop_all()
    return put_together(
        tracks,
        asked=asked,
        activities=log.result(total_seconds=n_frames / geometry.sample_rate),
        portrait=portrait,
        recording=dataclasses.replace(recording, frames=n_frames),
        run=run,
        started=started,
    )


def _take_block(block: EstimateBlock, *, tracks: Tracks, asked: Asked, sample_rate: int) -> None:
    bounds = segment_bounds(block, sample_rate=sample_rate)
    rest = {track.request.level: block.mixture.astype(np.float64) for track in tracks.residuals}
    active = np.asarray(block.active)
    is_told = np.zeros(len(asked), np.bool_)
    is_told[[asked.places[key] for key in block.estimates if key in asked.places]] = True
    is_told |= np.any(active, axis=0)
    for place in np.flatnonzero(is_told).tolist():
        track, estimate = tracks.at(place), block.estimates.get(asked.keys[place])
        track.take_segments(estimate, bounds=bounds, active=active[:, place])
        kept = None if estimate is None else track.kept(estimate, start_frame=block.start_frame)
        if kept is not None and track.request.level in rest:
            rest[track.request.level][:, -kept.shape[1] :] -= kept
    everywhere = np.ones(len(bounds) - 1, np.bool_)
    for track in tracks.residuals:
        remaining = rest[track.request.level].astype(np.float32)
        track.take_segments(remaining, bounds=bounds, active=everywhere)
