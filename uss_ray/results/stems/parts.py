"""A long recording in parts: each is kept as it is separated, and all are joined when the last is there.

Joining replays the parts through the same tracks as one pass, so that both give the same samples, rows and names. One
stem after the other is made, then the residuals together: local disk never holds all of them, and memory depends on the
length of a part, not of the recording.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uss_ray.audio.spec import StemSubtype
from uss_ray.errors import RecordingError
from uss_ray.results.blocks import (
    EstimateBlock,
    Geometry,
    check_length,
    checked_blocks,
)
from uss_ray.results.index.table import RecordingFacts
from uss_ray.results.report.portrait import PortraitPainter
from uss_ray.results.stems.part_files import PART_NAME as PART_NAME
from uss_ray.results.stems.part_files import PartFacts as PartFacts
from uss_ray.results.stems.part_files import PartWriter
from uss_ray.results.stems.stem_run import StemRun
from uss_ray.results.stems.timeline import Timeline
from uss_ray.results.stems.tracks import Track, Tracks, spans_of
from uss_ray.results.stems.written import WrittenRecording, assemble
from uss_ray.store.store import Store

Floats = npt.NDArray[np.float32]


def write_part(
    blocks: Iterable[EstimateBlock], wanted: StemRun, *, folder: Path, recording: RecordingFacts
) -> PartFacts:
    """Keep what was separated of one span of a recording, bit for bit, until all spans are there.

    Parameters
    ----------
    blocks : iterable of EstimateBlock
        From the engine, in order, at their place in the whole recording. With estimates or without.
    wanted : StemRun
        Parts of another run are refused when they are joined.
    folder : Path
        Where the part goes, a local folder of its own; `part.json` is written last.
    recording : RecordingFacts
        Of the whole recording; rate and channels must be known.

    Returns
    -------
    PartFacts
        What was written; `.names` are the files in the order in which they must be stored elsewhere.

    Raises
    ------
    ConfigError
        If the facts lack rate or channels.
    RecordingError
        If the blocks have gaps or there is none.
    OutputError
        If the part cannot be written.
    """
    geometry = Geometry.of(recording)
    writer = PartWriter(folder, keys=wanted.plan.keys, geometry=geometry)
    count = 0
    for block in checked_blocks(
        iter(blocks), start_frame=None, geometry=geometry, name=recording.recording_uri
    ):
        writer.add(block)
        count += 1
    if not count:
        raise RecordingError(recording.recording_uri, expected="at least one block in a part", found="none")
    return writer.close(run_id=wanted.facts.run_id, recording=recording)


def join_parts(
    parts: Sequence[Store],
    wanted: StemRun,
    *,
    mixture_blocks: Callable[[], Iterator[Floats]],
    root: Path,
    recording: RecordingFacts,
    subtype: StemSubtype = "PCM_24",
    started: float | None = None,
    on_file: Callable[[Path], None] | None = None,
) -> WrittenRecording:
    """Make the stems and rows of a recording from its parts, as one pass over it would have made them.

    Parameters
    ----------
    parts : sequence of Store
        Folders of the parts, local or URIs, in order.
    wanted : StemRun
        That of the parts.
    mixture_blocks : callable
        Streams the recording, blocks of shape (channels, n) of any length, float32. Called at most once, and only
        if a residual is wanted or something is to be drawn.
    root, recording, subtype, started
        As in `writer.write_estimates`.
    on_file : callable, optional
        Called with each file under `root` as soon as it is complete; it may move the file away.

    Returns
    -------
    WrittenRecording
        Rows for the index and data for the report.

    Raises
    ------
    ConfigError
        If the facts lack rate or channels.
    DataError
        If the parts do not belong together, or to this recording, run and stems.
    RecordingError
        If parts or mixture are not as long as the recording.
    OutputError
        If a part cannot be read or a stem not written. What was not handed to `on_file` is gone then.
    """
    geometry = Geometry.of(recording)
    timeline = Timeline(
        parts,
        run_id=wanted.facts.run_id,
        recording_id=recording.recording_id,
        keys=wanted.plan.keys,
        geometry=geometry,
        spans_have_files=wanted.spans_have_files,
    )
    check_length(timeline.frames, recording=recording)
    facts = dataclasses.replace(recording, frames=timeline.frames)
    tracks = Tracks(
        wanted,
        root=root,
        recording=facts,
        subtype=subtype,
        heard_so_far=timeline.heard,
    )
    hand_over = _Handover(root, on_file=on_file)
    activities = timeline.activities()
    with contextlib.ExitStack() as stack:
        painter = PortraitPainter.of(facts, wanted.options, geometry=geometry, root=root)
        if painter is not None:
            stack.enter_context(painter)
        on_failure = stack.enter_context(contextlib.ExitStack())
        on_failure.callback(tracks.discard)
        tracks.hold(timeline.held_by)
        for place in timeline.present:
            track = tracks.at(place)
            for stretch in timeline.stretches(place):
                track.take(stretch)
                hand_over(track)
            track.finish(timeline.frames, spans=spans_of(track, activities))
            hand_over(track)
        if tracks.residuals or painter is not None:
            mixture = _Mixture(mixture_blocks(), channels=geometry.channels, name=recording.recording_uri)
            for part in range(len(timeline.parts)):
                samples = mixture.read(timeline.parts[part].frames)
                if painter is not None:
                    painter.add(samples)
                for rest in tracks.residuals:
                    _take_rest(rest, samples, part=part, timeline=timeline, tracks=tracks)
            mixture.check_ended()
        for rest in tracks.residuals:
            rest.finish(timeline.frames)
            hand_over(rest)
        portrait = None if painter is None else painter.result(tracks.drawn())
        on_failure.pop_all()
    return assemble(
        tracks,
        wanted,
        activities=activities,
        portrait=portrait,
        recording=facts,
        started=started,
    )


def _take_rest(residual: Track, mixture: Floats, *, part: int, timeline: Timeline, tracks: Tracks) -> None:
    """Subtract the stems of a level from the mixture of one part, one after the other as a pass does."""
    start_frame = timeline.parts[part].start_frame
    rest = mixture.astype(np.float64)
    for place in timeline.present:
        track = tracks.at(place)
        if track.request.group != residual.request.group:
            continue
        for first_frame, samples in timeline.sounds_of_part(place, part=part):
            kept = track.kept(samples, start_frame=first_frame)
            if kept is not None:
                stop = first_frame - start_frame + samples.shape[1]
                rest[:, stop - kept.shape[1] : stop] -= kept
    bounds = timeline.segments_of_part(part)
    everywhere = np.ones(len(bounds) - 1, np.bool_)
    residual.take_segments(rest.astype(np.float32), bounds=bounds, active=everywhere)


class _Handover:
    """Pass each finished file on once."""

    def __init__(self, root: Path, *, on_file: Callable[[Path], None] | None) -> None:
        self._root = root
        self._on_file = on_file
        self._counts: dict[int, int] = {}

    def __call__(self, track: Track) -> None:
        if self._on_file is None:
            return
        done = self._counts.get(id(track), 0)
        for file in track.files.finished[done:]:
            self._on_file(self._root / file.uri)
        self._counts[id(track)] = len(track.files.finished)


class _Mixture:
    """Read blocks of any length in pieces of a wanted length."""

    def __init__(self, blocks: Iterator[Floats], *, channels: int, name: str) -> None:
        self._blocks = blocks
        self._name = name
        self._left = np.zeros((channels, 0), np.float32)

    def read(self, n_frames: int) -> Floats:
        samples = np.empty((len(self._left), n_frames), np.float32)
        filled = 0
        while filled < n_frames:
            if not self._left.shape[1]:
                self._left = self._next(missing=n_frames - filled)
            taken = min(n_frames - filled, self._left.shape[1])
            samples[:, filled : filled + taken] = self._left[:, :taken]
            self._left = self._left[:, taken:]
            filled += taken
        return samples

    def check_ended(self) -> None:
        extra = self._left.shape[1] + sum(block.shape[1] for block in self._blocks)
        if extra:
            raise RecordingError(
                self._name, expected="the mixture of its parts", found=f"{extra} samples more"
            )

    def _next(self, *, missing: int) -> Floats:
        block = next(self._blocks, None)
        if block is None:
            raise RecordingError(
                self._name, expected="the mixture of its parts", found=f"{missing} samples less"
            )
        return block
