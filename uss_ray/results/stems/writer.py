"""One pass from the blocks of the engine to what stays: stems, residuals, index rows, and data for the report.

Holds one block at a time, whatever the length of the recording. A stem is opened when it is first heard, and
gets its final name when everything has gone well; if anything fails, nothing is left under a final name.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from uss_ray.audio.spec import StemSubtype
from uss_ray.results.blocks import (
    EstimateBlock,
    Geometry,
    check_length,
    checked_blocks,
    segment_bounds,
)
from uss_ray.results.index.activity import ActivityLog, Loudness, Sounding
from uss_ray.results.index.table import RecordingFacts
from uss_ray.results.report.portrait import PortraitPainter
from uss_ray.results.stem_plan import StemPlan
from uss_ray.results.stems.stem_run import StemRun
from uss_ray.results.stems.tracks import Tracks
from uss_ray.results.stems.written import WrittenRecording, assemble


def write_estimates(
    blocks: Iterable[EstimateBlock],
    wanted: StemRun,
    *,
    root: Path | None,
    recording: RecordingFacts,
    subtype: StemSubtype = "PCM_24",
    started: float | None = None,
) -> WrittenRecording:
    """Write the stems of one recording and say what became of each.

    Parameters
    ----------
    blocks : iterable of EstimateBlock
        From the engine, in order; without estimates where only the index is written.
    wanted : StemRun
    root : Path or None
        Output root, a local folder. None: whole stems are held in memory, see `WrittenRecording.held`.
    recording : RecordingFacts
        Rate and channels must be known; the length may be open.
    subtype : StemSubtype, default="PCM_24"
        Coding of the stems, of those of their format.
    started : float or None, default=None
        When the work on the recording began, on the monotonic clock; None leaves open how long it took.

    Returns
    -------
    WrittenRecording
        Rows for the index and data for the report.

    Raises
    ------
    ConfigError
        If the facts lack rate or channels.
    RecordingError
        If the blocks have gaps, are empty altogether or are not as long as the recording.
    OutputError
        If a stem cannot be written.
    """
    geometry = Geometry.of(recording)
    log = ActivityLog(wanted.plan.keys, with_separated=wanted.spans_have_files)
    tracks = Tracks(
        wanted,
        root=root,
        recording=recording,
        subtype=subtype,
        heard_so_far=log.spans_so_far,
    )
    n_frames = 0
    with contextlib.ExitStack() as stack:
        painter = (
            PortraitPainter.of(recording, wanted.options, geometry=geometry, root=root) if root else None
        )
        if painter is not None:
            stack.enter_context(painter)
        on_failure = stack.enter_context(contextlib.ExitStack())
        on_failure.callback(tracks.discard)
        for block in checked_blocks(
            iter(blocks), start_frame=0, geometry=geometry, name=recording.recording_uri
        ):
            n_frames += block.mixture.shape[1]
            log.add(
                block.segment_probs,
                sounding=Sounding.of(block),
                active=block.active,
                spans_seconds=block.segment_spans_seconds,
                stem_probs=block.stem_probs,
                loudness=Loudness.of(block),
            )
            tracks.hold(block.held_by)
            _take_block(block, tracks=tracks, plan=wanted.plan, sample_rate=geometry.sample_rate)
            if painter is not None:
                painter.add(block.mixture)
        check_length(n_frames, recording=recording)
        activities = log.result(total_seconds=n_frames / geometry.sample_rate)
        tracks.finish(n_frames, activities=activities)
        portrait = None if painter is None else painter.result(tracks.drawn())
        on_failure.pop_all()
    return assemble(
        tracks,
        wanted,
        activities=activities,
        portrait=portrait,
        recording=dataclasses.replace(recording, frames=n_frames),
        started=started,
    )


def _take_block(block: EstimateBlock, *, tracks: Tracks, plan: StemPlan, sample_rate: int) -> None:
    bounds = segment_bounds(block, sample_rate=sample_rate)
    rest = {track.request.group: block.mixture.astype(np.float64) for track in tracks.residuals}
    active = np.asarray(block.active)
    is_present = np.zeros(len(plan), np.bool_)
    is_present[[plan.places[key] for key in block.estimates if key in plan.places]] = True
    is_present |= np.any(active, axis=0)
    for place in np.flatnonzero(is_present).tolist():
        track, estimate = tracks.at(place), block.estimates.get(plan.keys[place])
        track.take_segments(estimate, bounds=bounds, active=active[:, place])
        kept = None if estimate is None else track.kept(estimate, start_frame=block.start_frame)
        if kept is not None and track.request.group in rest:
            rest[track.request.group][:, -kept.shape[1] :] -= kept
    everywhere = np.ones(len(bounds) - 1, np.bool_)
    for track in tracks.residuals:
        remaining = rest[track.request.group].astype(np.float32)
        track.take_segments(remaining, bounds=bounds, active=everywhere)
