"""One stem on its way: measured, drawn, and passed to its files; and the names of all stems of a recording.

Owns what is kept and what the measures mean. One pass over a recording and the joining of its parts both go
through here.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uss_ray.audio.level import dbfs, peak
from uss_ray.results.activity import Activity
from uss_ray.results.blocks import StemRequest, Stretch, WriteMode
from uss_ray.results.index import ActiveSpan, IndexRow, RecordingFacts, RunFacts, Status
from uss_ray.results.layout import RESIDUAL_SLUG, free_slug, span_stem_path, stem_path, stem_slug
from uss_ray.results.portrait import StemId
from uss_ray.results.spectrogram import SpectrogramMeter
from uss_ray.results.stem_files import Encoding, NoFiles, SpanFiles, StemFile, StemFiles, WholeFile

_RESIDUAL_KEEP_PEAK = 1e-6  # a residual below this can be left out and the stems still sum to the mixture

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
    keep_above_peak : float
        Peak above which a segment is heard. A stem begins with the first segment in which it is heard.
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
        keep_above_peak: float,
        is_detected_only: bool = False,
        draw: bool = True,
    ) -> None:
        self.request = request
        self.files = files
        self.first_kept_frame: int | None = None
        self.meter: SpectrogramMeter | None = None
        self._encoding = encoding
        self._keep_above_peak = keep_above_peak
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
        """Take the next stretch; stretches follow each other."""
        samples = stretch.samples
        self._was_active = self._was_active or stretch.active
        highest = 0.0 if samples is None else peak(samples)
        heard = highest > self._keep_above_peak
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
        activity: Activity | None,
        *,
        recording: RecordingFacts,
        run: RunFacts,
        processing_seconds: float | None = None,
    ) -> IndexRow:
        """Say what became of the stem, once its files are finished."""
        files = self.files.finished
        whole = files[0] if files and isinstance(self.files, WholeFile) else None
        spans = activity.spans if activity else ()
        if files and whole is None:
            by_span = {file.span_start_frame: file for file in files}
            rate = self._encoding.sample_rate
            spans = tuple(_with_file(span, by_span.get(round(span.start_seconds * rate))) for span in spans)
        rms = math.sqrt(self._square_sum / max(1, self._n_frames * self._encoding.channels))
        return IndexRow(
            run_id=run.run_id,
            recording_id=recording.recording_id,
            recording_uri=recording.recording_uri,
            recording_sha256=recording.recording_sha256,
            node_id=self.request.key,
            label=self.request.label,
            level=self.request.level,
            kind=self.request.kind,
            status=self._status(),
            probability=activity.highest_probability if activity else None,
            active_spans=spans,
            level_db=_finite_db(rms),
            peak_db=_finite_db(self._peak),
            stem_uri=whole.uri if whole else None,
            stem_sha256=whole.written.sha256 if whole else None,
            stem_bytes=whole.written.file_bytes if whole else None,
            clipped_samples=sum(file.written.clipped_samples for file in files) if files else None,
            sample_rate=recording.sample_rate,
            channels=recording.channels,
            frames=recording.frames,
            format=self._encoding.name if files else None,
            weights_name=run.weights_name,
            weights_sha256=run.weights_sha256,
            settings=run.settings,
            processing_seconds=processing_seconds,
        )

    def _status(self) -> Status:
        if self.files.finished:
            return "written"
        if not self._was_active:
            return "absent"
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


def make_tracks(
    stems: Sequence[StemRequest],
    *,
    root: Path,
    recording_id: str,
    encoding: Encoding,
    write: WriteMode,
    residual: bool,
    silence_db: float,
    fade_seconds: float,
    draw: bool,
) -> tuple[list[Track], list[Track]]:
    """Make a track for each stem, with names of their own, and one for each residual.

    Parameters
    ----------
    stems : sequence of StemRequest
        What was asked for.
    root, recording_id
        Where its files go.
    encoding : Encoding
        Their format.
    write, residual, silence_db, fade_seconds, draw
        See `writer.write_estimates`.

    Returns
    -------
    tracks : list of Track
        In the order of the stems.
    residuals : list of Track
        One for each level, and one for the queries; none unless whole stems are written.
    """

    def path(stem: StemRequest, slug: str) -> str:
        return stem_path(recording_id, level=stem.level, slug=slug, extension=encoding.stem_format)

    def files(stem: StemRequest, slug: str) -> StemFiles:
        if write == "index-only":
            return NoFiles()
        if write == "stems":
            return WholeFile(root, uri=path(stem, slug), encoding=encoding)
        uri_at = functools.partial(
            span_stem_path, recording_id, level=stem.level, slug=slug, extension=encoding.stem_format
        )
        return SpanFiles(root, uri_at=uri_at, encoding=encoding, fade_seconds=fade_seconds)

    tracks = [
        Track(
            stem,
            files=files(stem, slug),
            encoding=encoding,
            keep_above_peak=10.0 ** (silence_db / 20.0),
            is_detected_only=write == "index-only",
            draw=draw,
        )
        for stem, slug in zip(stems, _slugs(tuple(stems)), strict=True)
    ]
    rests = [
        StemRequest(key="residual", label="Residual", level=level, kind="residual")
        for level in dict.fromkeys(stem.level for stem in stems)
        if residual and write == "stems"
    ]
    residuals = [
        Track(
            rest,
            files=WholeFile(root, uri=path(rest, RESIDUAL_SLUG), encoding=encoding),
            encoding=encoding,
            keep_above_peak=_RESIDUAL_KEEP_PEAK,
            draw=draw,
        )
        for rest in rests
    ]
    return tracks, residuals


def discard(tracks: Iterable[Track]) -> None:
    """Leave no file of any of them behind."""
    for track in tracks:
        track.files.discard()


@functools.lru_cache(maxsize=8)  # the recordings of an archive are all asked for the same stems
def _slugs(stems: tuple[StemRequest, ...]) -> tuple[str, ...]:
    taken: dict[int | None, set[str]] = {}
    slugs = []
    for stem in stems:
        in_use = taken.setdefault(stem.level, {RESIDUAL_SLUG})
        wanted = stem_slug(stem.label, node_id=None if stem.level is None else stem.key)
        slugs.append(free_slug(wanted, taken=in_use))
        in_use.add(slugs[-1].casefold())
    return tuple(slugs)


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
