"""One stem on its way: measured, drawn, and passed to its files; and all of a recording that have something to pass.

Owns what is kept and what the measures mean. One pass over a recording and the joining of its parts both go
through here.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uss_ray.audio.level import dbfs, peak
from uss_ray.audio.spec import StemSubtype
from uss_ray.errors import OutputError
from uss_ray.results.blocks import Geometry, StemRequest, Stretch
from uss_ray.results.index.activity import Activities
from uss_ray.results.index.table import ActiveSpan, IndexRow, RecordingFacts, Span, Status
from uss_ray.results.layout import RESIDUAL_SLUG, span_stem_path, stem_path
from uss_ray.results.report.portrait import StemId
from uss_ray.results.report.spectrogram import Spectrogram, SpectrogramMeter
from uss_ray.results.stems.files import (
    Encoding,
    HeldSound,
    NoFiles,
    SpanFiles,
    StemFile,
    StemFiles,
    WholeFile,
)
from uss_ray.results.stems.stem_run import StemRun

Floats = npt.NDArray[np.float32]


class Track:
    """One stem: what is measured of it and where it goes.

    Parameters
    ----------
    request : StemRequest
        What was asked for.
    files : StemFiles
        Where its sound goes.
    encoding : Encoding
        Format of the files.
    heard_above_peak : float
        Linear peak above which a segment is heard; negative: all that have samples are. A stem begins with the
        first segment in which it is heard.
    is_detected_only : bool, default=False
        Whether nothing is separated at all.
    draw : bool, default=True
        Whether to keep a spectrogram.

    Attributes
    ----------
    first_kept_frame : int or None
        Where the stem begins; None while it has not been heard.
    meter : SpectrogramMeter or None
        Over the whole recording, once it is heard.
    """

    def __init__(
        self,
        request: StemRequest,
        *,
        files: StemFiles,
        encoding: Encoding,
        heard_above_peak: float,
        is_detected_only: bool = False,
        draw: bool = True,
    ) -> None:
        self.request = request
        self.files = files
        self.first_kept_frame: int | None = None
        self.meter: SpectrogramMeter | None = None
        self._encoding = encoding
        self._heard_above_peak = heard_above_peak
        self._is_detected_only = is_detected_only
        self._draw = draw
        self._was_active = False
        self._peak = 0.0
        self._square_sum = 0.0
        self._n_frames = 0

    @property
    def stem_id(self) -> StemId:
        """Level and key."""
        return self.request.level, self.request.key

    def take(self, stretch: Stretch) -> None:
        """Take the next stretch; what lies before it and was not told is silence."""
        self._be_silent_until(stretch.start_frame)
        self._add(stretch)

    def finish(self, n_frames: int, *, spans: Sequence[ActiveSpan] = ()) -> None:
        """Complete its files: the recording has ended; `spans` are where its sound was detected."""
        self._be_silent_until(n_frames)
        edges = [
            [round(edge * self._encoding.sample_rate) for edge in (span.start_seconds, span.end_seconds)]
            for span in spans
        ]
        self.files.finish([Stretch(start, stop - start) for start, stop in edges])

    def _be_silent_until(self, frame: int) -> None:
        if frame > self._n_frames:
            self._add(Stretch(self._n_frames, frame - self._n_frames))

    def _add(self, stretch: Stretch) -> None:
        samples = stretch.samples
        self._was_active = self._was_active or stretch.active
        highest = 0.0 if samples is None else peak(samples)
        heard = samples is not None and highest > self._heard_above_peak
        if samples is not None and highest > 0.0:
            self._peak = max(self._peak, highest)
            self._square_sum += float(np.sum(np.square(samples, dtype=np.float64)))
        if heard and self.first_kept_frame is None:
            self.first_kept_frame = stretch.start_frame
            self._begin_drawing()
        self._draw_stretch(stretch)
        self.files.take(stretch, heard=heard)
        self._n_frames += stretch.n_frames

    def take_segments(
        self, samples: Floats | None, *, bounds: npt.NDArray[np.int64], active: npt.NDArray[np.bool_]
    ) -> None:
        """Take the segments of a block one after the other, for what is kept is decided for each.

        Parameters
        ----------
        samples : ndarray of shape (channels, n), dtype=float32, or None
            The block; None for silence.
        bounds : ndarray of shape (segments + 1,), dtype=int64
            Where in the recording its segments begin, and where it ends.
        active : ndarray of shape (segments,), dtype=bool
            Where the target is active.
        """
        for start, stop, is_active in zip(
            bounds[:-1].tolist(), bounds[1:].tolist(), active.tolist(), strict=True
        ):
            first = start - int(bounds[0])
            found = None if samples is None else samples[:, first : first + stop - start]
            self.take(Stretch(start, stop - start, found, is_active))

    def kept(self, estimate: Floats, *, start_frame: int) -> Floats | None:
        """Cut an estimate to what the stem holds of it, from some frame to its end.

        Parameters
        ----------
        estimate : ndarray of shape (channels, n)
            A stretch that was taken, or a part of one.
        start_frame : int
            Where it begins.

        Returns
        -------
        ndarray of shape (channels, m), dtype=float32, or None
            Its last m frames; None if the stem begins later.
        """
        if self.first_kept_frame is None:
            return None
        dropped = max(0, self.first_kept_frame - start_frame)
        return estimate[:, dropped:] if dropped < estimate.shape[1] else None

    def row(
        self,
        absent: IndexRow,
        *,
        spans: tuple[ActiveSpan, ...],
        separated: tuple[ActiveSpan, ...] | None = None,
    ) -> IndexRow:
        """Say what became of the stem, once its files are finished.

        Parameters
        ----------
        absent : IndexRow
            Its row if it had not been there.
        spans : tuple of ActiveSpan
            Where it is detected.
        separated : tuple of ActiveSpan or None, default=None
            The stretches that were separated, where each has a file of its own.

        Returns
        -------
        IndexRow
            The same with what there is to say of it.
        """
        files = self.files.finished
        whole = files[0] if files and isinstance(self.files, WholeFile) else None
        detected = None
        if separated is not None:
            by_span = {file.span_start_frame: file for file in files}
            rate = self._encoding.sample_rate
            detected = tuple(
                Span(start_seconds=one.start_seconds, end_seconds=one.end_seconds) for one in spans
            )
            spans = tuple(
                _with_file(span, by_span.get(round(span.start_seconds * rate))) for span in separated
            )
        held = self.files.uri if isinstance(self.files, HeldSound) and self.files.is_heard else None
        rms = math.sqrt(self._square_sum / max(1, self._n_frames * self._encoding.channels))
        return dataclasses.replace(
            absent,
            status=self._status(absent.status),
            active_spans=spans,
            detected_spans=detected,
            level_db=_finite_db(rms),
            peak_db=_finite_db(self._peak),
            stem_uri=whole.uri if whole else held,
            stem_sha256=whole.written.sha256 if whole else None,
            stem_bytes=whole.written.file_bytes if whole else None,
            clipped_samples=sum(file.written.clipped_samples for file in files) if files else None,
            format=", ".join(sorted({file.written.coding for file in files})) or None,
        )

    def _status(self, base: Status) -> Status:
        if self.files.finished:
            return "written"
        if isinstance(self.files, HeldSound) and self.files.is_heard:
            return "held"
        if not self._was_active:
            return base
        return "detected" if self._is_detected_only else "silent"

    def _begin_drawing(self) -> None:
        if self._draw:
            self.meter = SpectrogramMeter(self._encoding.sample_rate, frames=self._encoding.frames)
            self.meter.add_silence(self._n_frames, channels=self._encoding.channels)

    def _draw_stretch(self, stretch: Stretch) -> None:
        if self.meter is None:
            return
        if stretch.samples is None:
            self.meter.add_silence(stretch.n_frames, channels=self._encoding.channels)
        else:
            self.meter.add(stretch.samples)


class Tracks:
    """The tracks of one recording: of each stem that has been active or sounds, and of the residuals.

    Most of what an archive asks for is in no recording. A track is made when there is something to tell it.

    Parameters
    ----------
    wanted : StemRun
        Which stems, and how.
    root : Path or None
        Output root; None: whole stems are held in memory.
    recording : RecordingFacts
        Names the files, and says their rate and channels.
    subtype : StemSubtype
        Their coding.
    heard_so_far : callable
        Gives start and end in seconds of where a node was detected; it knows of what is passed to its track.

    Attributes
    ----------
    residuals : list of Track
        One for each level, for the events and for the queries; none unless whole stems are written.
    """

    def __init__(
        self,
        wanted: StemRun,
        *,
        root: Path | None,
        recording: RecordingFacts,
        subtype: StemSubtype,
        heard_so_far: Callable[[str], Sequence[tuple[float, float]]],
    ) -> None:
        self._heard_so_far = heard_so_far
        self._wanted = wanted
        self._plan = wanted.plan
        self._root = root
        if root is not None:
            try:
                root.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                found = error.strerror or type(error).__name__
                raise OutputError(str(root), expected="a folder that can be made", found=found) from error
        self._recording_id = recording.recording_id
        geometry = Geometry.of(recording)
        self._encoding = Encoding(
            geometry.sample_rate,
            geometry.channels,
            recording.frames,
            wanted.options.stem_format,
            subtype,
            recording.tags if wanted.options.metadata else None,
        )
        self._write = wanted.options.write
        self._heard_above_peak = wanted.heard_above_peak
        self._by_place: dict[int, Track] = {}
        self._held_by: dict[int, int] = {}
        rests = self._plan.residuals if wanted.options.residual and self._write == "stems" else ()
        self.residuals = [
            self._made(rest, slug=RESIDUAL_SLUG, heard_above_peak=wanted.residual_heard_above_peak)
            for rest in rests
        ]

    def at(self, place: int) -> Track:
        """Give the track of the stem at a place of those asked for."""
        track = self._by_place.get(place)
        if track is None:
            track = self._made(
                self._plan[place], slug=self._plan.slugs[place], heard_above_peak=self._heard_above_peak
            )
            self._by_place[place] = track
        return track

    def by_place(self) -> dict[int, Track]:
        """Give those there are in the order asked for, then the residuals at the places after all stems."""
        rests = enumerate(self.residuals, start=len(self._plan))
        return dict(sorted(self._by_place.items())) | dict(rests)

    def hold(self, held_by: npt.NDArray[np.int16]) -> None:
        """Note whose stems hold what of some segments; `held_by` as of `EstimateBlock`."""
        for place in np.flatnonzero((held_by >= 0).any(axis=0)).tolist():
            holders = {int(holder) for holder in np.unique(held_by[:, place]) if holder >= 0}
            holders.add(self._held_by.get(place, min(holders)))
            self._held_by[place] = place if place in holders else min(holders)

    def shared(self) -> dict[int, int]:
        """Tell which targets have no sound of their own, and in whose stem it is: the first, if it is in several."""
        return {
            place: holder
            for place, holder in sorted(self._held_by.items())
            if holder != place and place in self._by_place and holder in self._by_place
        }

    def finish(self, n_frames: int, *, activities: Activities) -> None:
        """Complete all files: the recording has ended."""
        for track in self.by_place().values():
            track.finish(n_frames, spans=spans_of(track, activities))

    def discard(self) -> None:
        """Leave no file of any of them behind."""
        for track in self.by_place().values():
            track.files.discard()

    def held(self) -> dict[str, HeldSound]:
        """Collect the stems that are in memory, by their names."""
        files = [track.files for track in self.by_place().values()]
        return {sound.uri: sound for sound in files if isinstance(sound, HeldSound) and sound.is_heard}

    def drawn(self) -> dict[StemId, Spectrogram]:
        """Collect the spectrograms of the stems that were heard."""
        pictures = {
            place: track.meter.result() for place, track in self.by_place().items() if track.meter is not None
        }
        shown = {place: place for place in pictures} | self.shared()
        return {
            self.by_place()[place].stem_id: pictures[holder]
            for place, holder in shown.items()
            if holder in pictures
        }

    def _made(self, stem: StemRequest, *, slug: str, heard_above_peak: float) -> Track:
        return Track(
            stem,
            files=self._files(stem, slug=slug),
            encoding=self._encoding,
            heard_above_peak=heard_above_peak,
            is_detected_only=self._write == "index-only",
            draw=self._wanted.options.report,
        )

    def _files(self, stem: StemRequest, *, slug: str) -> StemFiles:
        if self._write == "index-only":
            return NoFiles()
        level, extension = stem.group, self._encoding.stem_format
        uri = stem_path(self._recording_id, level=level, slug=slug, extension=extension)
        if self._root is None:
            return HeldSound(uri=uri, channels=self._encoding.channels)
        if self._write == "stems":
            return WholeFile(self._root, uri=uri, encoding=self._encoding, stem=stem)
        uri_at = functools.partial(
            span_stem_path, self._recording_id, level=level, slug=slug, extension=extension
        )
        return SpanFiles(
            self._root,
            uri_at=uri_at,
            encoding=self._encoding,
            stem=stem,
            fade_seconds=self._wanted.fade_seconds,
            heard_so_far=functools.partial(self._heard_so_far, stem.key),
        )


def spans_of(track: Track, activities: Activities) -> tuple[ActiveSpan, ...]:
    """Tell where the sound of a stem was detected; a residual has none."""
    return () if track.request.kind == "residual" else activities[track.request.key].spans


def _with_file(span: ActiveSpan, file: StemFile | None) -> ActiveSpan:
    if file is None:
        return span
    return dataclasses.replace(
        span,
        stem_uri=file.uri,
        stem_sha256=file.written.sha256,
        stem_bytes=file.written.file_bytes,
        stem_start_frame=file.start_frame,
    )


def _finite_db(amplitude: float) -> float | None:
    return dbfs(amplitude) if amplitude > 0.0 else None
