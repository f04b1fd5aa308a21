"""From the blocks of the engine to what stays: stems, residuals, index rows, and data for the report.

Holds one block at a time, whatever the length of the recording. A stem is opened when it is first heard, and
gets its final name when everything has gone well; if anything fails, nothing is left under a final name.
Encoding is the business of `audio.codec`, names are that of `layout`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from uss_ray.audio.codec import StemWriter, WrittenStem
from uss_ray.audio.level import dbfs, peak
from uss_ray.audio.spec import StemFormat, StemSubtype
from uss_ray.errors import ConfigError, OutputError, RecordingError
from uss_ray.results.activity import Activity, ActivityLog
from uss_ray.results.index import IndexRow, Kind, RecordingFacts, RunFacts, Status
from uss_ray.results.layout import RESIDUAL_SLUG, free_slug, stem_path, stem_slug
from uss_ray.results.preview import PreviewEncoder
from uss_ray.results.spectrogram import Spectrogram, SpectrogramMeter

_RESIDUAL_KEEP_PEAK = 1e-6  # a residual below this can be left out and the stems still sum to the mixture
_MIXTURE_BANDS = 128
_MIXTURE_PREVIEW_SECONDS = 90.0

Floats = npt.NDArray[np.float32]


class EstimateBlock(Protocol):
    """What the engine gives for one stretch of a recording, at the native rate.

    Attributes
    ----------
    start_frame : int
        Where the stretch begins; blocks follow each other without gap or overlap.
    mixture : ndarray of shape (channels, n), dtype=float32
        The recording itself.
    estimates : mapping of str to ndarray of shape (channels, n)
        By target key; a target that is not there is inactive throughout the stretch.
    segment_probs : ndarray of shape (segments, targets)
        Probabilities of the segments that begin in the stretch, targets in the order they were asked for;
        NaN for a target that is not tagged.
    active : ndarray of shape (segments, targets), dtype=bool
        Where a target was separated.
    segment_spans_seconds : ndarray of shape (segments, 2)
        Start and end of each of these segments.
    """

    @property
    def start_frame(self) -> int: ...  # noqa: D102
    @property
    def mixture(self) -> Floats: ...  # noqa: D102
    @property
    def estimates(self) -> Mapping[str, Floats]: ...  # noqa: D102
    @property
    def segment_probs(self) -> Floats: ...  # noqa: D102
    @property
    def active(self) -> npt.NDArray[np.bool_]: ...  # noqa: D102
    @property
    def segment_spans_seconds(self) -> npt.NDArray[np.float64]: ...  # noqa: D102


@dataclasses.dataclass(frozen=True, kw_only=True)
class StemRequest:
    """One stem that was asked for.

    Parameters
    ----------
    key : str
        Node id or `query:<name>`, as in the engine's targets.
    label : str
        Display name.
    level : int or None, default=None
        Ontology level, or None for a query.
    kind : {"node", "class", "union", "text", "example", "rest"}, default="node"
        What was asked for.
    """

    key: str
    label: str
    level: int | None = None
    kind: Kind = "node"


@dataclasses.dataclass(frozen=True, kw_only=True)
class WrittenRecording:
    """One recording, separated and written.

    Parameters
    ----------
    recording : RecordingFacts
        Its facts, the length now known.
    run : RunFacts
        The run.
    rows : tuple of IndexRow
        Stems in the order asked for, then residuals.
    mixture_spectrogram : Spectrogram
        Of the recording.
    mixture_preview : bytes
        MP3 of the recording's beginning.
    preview_seconds : float
        Length of the preview, at most that of the recording.
    spectrograms : mapping of str to Spectrogram
        Of every written stem, by its URI.
    activities : mapping of str to Activity
        By node id.
    """

    recording: RecordingFacts
    run: RunFacts
    rows: tuple[IndexRow, ...]
    mixture_spectrogram: Spectrogram
    mixture_preview: bytes
    preview_seconds: float
    spectrograms: Mapping[str, Spectrogram]
    activities: Mapping[str, Activity]


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
    silence_db: float = -70.0,
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
    stem_format : {"flac", "wav"}, default="flac"
        Container of the stems.
    subtype : {"PCM_16", "PCM_24", "FLOAT"}, default="PCM_24"
        Coding of the stems.
    residual : bool, default=True
        Whether to write, for each level and for the queries, the mixture minus their stems.
    silence_db : float, default=-70.0
        Peak in dB relative to full scale at or below which a stem is not heard. A stem begins with the first
        block in which it is heard, and is not kept if there is none. Residuals are made from what is
        kept, so that the stems of a level and its residual sum to the mixture whatever this value is.

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
    keys = [stem.key for stem in stems]
    if len(set(keys)) != len(keys):
        raise ConfigError(
            "stems", expected="each key once", found=str(sorted(k for k in keys if keys.count(k) > 1))
        )
    if recording.sample_rate is None or recording.channels is None:
        raise ConfigError(recording.recording_id, expected="known rate and channels", found="none")
    encoding = _Encoding(recording.sample_rate, recording.channels, recording.frames, stem_format, subtype)
    tracks, residuals = _make_tracks(
        stems,
        root=root,
        recording_id=recording.recording_id,
        encoding=encoding,
        residual=residual,
        silence_db=silence_db,
    )
    log = ActivityLog(keys)
    meter = SpectrogramMeter(recording.sample_rate, frames=recording.frames, bands=_MIXTURE_BANDS)
    all_tracks = [*tracks, *residuals]
    with (
        contextlib.ExitStack() as on_failure,
        PreviewEncoder(
            recording.sample_rate, channels=recording.channels, max_seconds=_MIXTURE_PREVIEW_SECONDS
        ) as preview,
    ):
        for track in all_tracks:
            on_failure.callback(track.discard)
        n_frames = 0
        for block in blocks:
            _check_block(
                block, expected_start=n_frames, channels=recording.channels, name=recording.recording_uri
            )
            n_frames += block.mixture.shape[1]
            meter.add(block.mixture)
            preview.write(block.mixture)
            log.add(block.segment_probs, active=block.active, spans_seconds=block.segment_spans_seconds)
            _write_block(block, tracks=tracks, residuals=residuals)
        _check_length(n_frames, recording=recording)
        for track in all_tracks:
            track.commit()
        preview_bytes = preview.result()
        on_failure.pop_all()

    facts = dataclasses.replace(recording, frames=n_frames)
    activities = log.result(total_seconds=n_frames / recording.sample_rate)
    return WrittenRecording(
        recording=facts,
        run=run,
        rows=tuple(
            _row(track, activity=activities.get(track.request.key), recording=facts, run=run)
            for track in all_tracks
        ),
        mixture_spectrogram=meter.result(),
        mixture_preview=preview_bytes,
        preview_seconds=min(facts.seconds or 0.0, _MIXTURE_PREVIEW_SECONDS),
        spectrograms={track.stem_uri: track.meter.result() for track in all_tracks if track.meter},
        activities=activities,
    )


@dataclasses.dataclass(frozen=True)
class _Encoding:
    sample_rate: int
    channels: int
    frames: int | None
    stem_format: StemFormat
    subtype: StemSubtype

    @property
    def name(self) -> str:
        return f"{self.stem_format.upper()}/{self.subtype}"


class _Track:
    """One stem on its way to a file, which is opened when it is first heard."""

    def __init__(
        self, request: StemRequest, *, root: Path, stem_uri: str, encoding: _Encoding, keep_above_peak: float
    ) -> None:
        self.request = request
        self.stem_uri = stem_uri
        self.path = root / stem_uri
        self.encoding = encoding
        self.meter: SpectrogramMeter | None = None
        self.written: WrittenStem | None = None
        self.was_active = False
        self.peak = 0.0
        self._keep_above_peak = keep_above_peak
        self._square_sum = 0.0
        self._n_frames = 0
        self._writer: StemWriter | None = None

    def write(self, samples: Floats) -> bool:
        """Take the next samples and tell whether they were kept."""
        self.was_active = True
        block_peak = peak(samples)
        self.peak = max(self.peak, block_peak)
        self._square_sum += float(np.sum(np.square(samples, dtype=np.float64)))
        if self._writer is None and block_peak <= self._keep_above_peak:
            self._n_frames += samples.shape[1]
            return False
        writer, meter = self._opened()
        writer.write(samples)
        meter.add(samples)
        self._n_frames += samples.shape[1]
        return True

    def write_silence(self, n_frames: int) -> None:
        """Take a stretch in which the target is inactive."""
        if self._writer is not None and self.meter is not None:
            self._writer.write_silence(n_frames)
            self.meter.add_silence(n_frames, channels=self.encoding.channels)
        self._n_frames += n_frames

    def commit(self) -> None:
        if self._writer is not None:
            self.written = self._writer.close()

    def discard(self) -> None:
        if self.written is not None:
            self.path.unlink(missing_ok=True)
        elif self._writer is not None:
            self._writer.abort()

    @property
    def rms(self) -> float:
        return math.sqrt(self._square_sum / max(1, self._n_frames * self.encoding.channels))

    @property
    def status(self) -> Status:
        if self.written is not None:
            return "written"
        return "silent" if self.was_active else "absent"

    def _opened(self) -> tuple[StemWriter, SpectrogramMeter]:
        if self._writer is None or self.meter is None:
            encoding = self.encoding
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                found = error.strerror or type(error).__name__
                raise OutputError(
                    str(self.path.parent), expected="a folder that can be made", found=found
                ) from error
            self._writer = StemWriter(
                self.path,
                sample_rate=encoding.sample_rate,
                channels=encoding.channels,
                format=encoding.stem_format,
                subtype=encoding.subtype,
                expected_frames=encoding.frames,
            )
            self.meter = SpectrogramMeter(encoding.sample_rate, frames=encoding.frames)
            self._writer.write_silence(self._n_frames)
            self.meter.add_silence(self._n_frames, channels=encoding.channels)
        return self._writer, self.meter


def _make_tracks(
    stems: Sequence[StemRequest],
    *,
    root: Path,
    recording_id: str,
    encoding: _Encoding,
    residual: bool,
    silence_db: float,
) -> tuple[list[_Track], list[_Track]]:
    levels = list(dict.fromkeys(stem.level for stem in stems))
    taken: dict[int | None, set[str]] = {level: {RESIDUAL_SLUG} for level in levels}
    tracks = []
    for stem in stems:
        slug = stem_slug(stem.label, node_id=None if stem.level is None else stem.key)
        slug = free_slug(slug, taken=taken[stem.level])
        taken[stem.level].add(slug.casefold())
        uri = stem_path(recording_id, level=stem.level, slug=slug, extension=encoding.stem_format)
        tracks.append(
            _Track(
                stem, root=root, stem_uri=uri, encoding=encoding, keep_above_peak=10.0 ** (silence_db / 20.0)
            )
        )
    residuals = []
    for level in levels if residual else []:
        uri = stem_path(recording_id, level=level, slug=RESIDUAL_SLUG, extension=encoding.stem_format)
        request = StemRequest(key="residual", label="Residual", level=level, kind="residual")
        residuals.append(
            _Track(request, root=root, stem_uri=uri, encoding=encoding, keep_above_peak=_RESIDUAL_KEEP_PEAK)
        )
    return tracks, residuals


def _write_block(block: EstimateBlock, *, tracks: Sequence[_Track], residuals: Sequence[_Track]) -> None:
    n_frames = block.mixture.shape[1]
    rest = {track.request.level: block.mixture.astype(np.float64) for track in residuals}
    for track in tracks:
        estimate = block.estimates.get(track.request.key)
        if estimate is None:
            track.write_silence(n_frames)
        elif track.write(estimate) and track.request.level in rest:
            rest[track.request.level] -= estimate
    for track in residuals:
        track.write(rest[track.request.level].astype(np.float32))


def _check_block(block: EstimateBlock, *, expected_start: int, channels: int, name: str) -> None:
    if block.start_frame != expected_start:
        raise RecordingError(
            name, expected=f"a block from frame {expected_start}", found=f"from {block.start_frame}"
        )
    shape = (channels, block.mixture.shape[1])
    for key, samples in {"mixture": block.mixture, **block.estimates}.items():
        if samples.shape != shape:
            raise RecordingError(
                f"{name}, {key}", expected=f"a block of shape {shape}", found=str(samples.shape)
            )


def _check_length(n_frames: int, *, recording: RecordingFacts) -> None:
    if n_frames == 0:
        raise RecordingError(recording.recording_uri, expected="at least one sample", found="none")
    if recording.frames is not None and n_frames != recording.frames:
        raise RecordingError(
            recording.recording_uri, expected=f"{recording.frames} samples a channel", found=str(n_frames)
        )


def _row(track: _Track, *, activity: Activity | None, recording: RecordingFacts, run: RunFacts) -> IndexRow:
    written = track.written
    return IndexRow(
        run_id=run.run_id,
        recording_id=recording.recording_id,
        recording_uri=recording.recording_uri,
        recording_sha256=recording.recording_sha256,
        node_id=track.request.key,
        label=track.request.label,
        level=track.request.level,
        kind=track.request.kind,
        status=track.status,
        probability=activity.highest_probability if activity else None,
        active_spans=activity.spans if activity else (),
        level_db=_finite_db(track.rms),
        peak_db=_finite_db(track.peak),
        stem_uri=track.stem_uri if written else None,
        stem_sha256=written.sha256 if written else None,
        stem_bytes=written.file_bytes if written else None,
        clipped_samples=written.clipped_samples if written else None,
        sample_rate=recording.sample_rate,
        channels=recording.channels,
        frames=recording.frames,
        format=track.encoding.name if written else None,
        weights_name=run.weights_name,
        weights_sha256=run.weights_sha256,
        settings=run.settings,
    )


def _finite_db(amplitude: float) -> float | None:
    return dbfs(amplitude) if amplitude > 0.0 else None
