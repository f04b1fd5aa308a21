"""What one part of a long recording looks like on a disk or in an object store, until the parts are joined.

A part keeps what the engine said of consecutive segments, bit for bit: `segments.npz` holds probabilities, active
flags and where each target sounds; `<target>.f32` holds those samples, (channels, frames) after each other in
float32, little-endian; `part.json` is written last, so that a part that has one is whole. Nothing is decided or
encoded yet: that is done once, for the whole recording, when the parts are joined.
"""

from __future__ import annotations

import dataclasses
import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Literal

import numpy as np
import numpy.typing as npt

from uss_ray.config import Settings, parse_json
from uss_ray.errors import DataError, OutputError
from uss_ray.results.blocks import EstimateBlock, Geometry, segment_bounds
from uss_ray.results.index.activity import Loudness
from uss_ray.results.index.table import RecordingFacts
from uss_ray.store.store import Store

PART_NAME = "part.json"
PART_VERSION: Final = 3
_SEGMENTS_NAME = "segments.npz"
_SAMPLE = np.dtype("<f4")

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class PartFacts(Settings):
    """One part of a recording, written.

    Parameters
    ----------
    run_id, recording_id : str
        What it is a part of.
    keys : tuple of str
        Targets, in their order.
    sample_rate, channels : int
        Of the recording.
    start_frame, frames : int
        Where in the recording it begins, and how long it is.
    segments : int
        Number of its segments.
    loudness : Loudness, default=Loudness.TAGGED
        Of its segments together; parts from before there was one are taken for tagged.
    recording_content : str or None, default=None
        What the recording held; see `Store.content_tag`.
    recording_sha256 : str or None, default=None
        Of the recording's file; in the last part only.
    files : mapping of str to int
        Size in bytes of each of its files but `part.json`, by name.
    """

    version: Literal[3] = PART_VERSION
    run_id: str
    recording_id: str
    keys: tuple[str, ...]
    sample_rate: int
    channels: int
    start_frame: int
    frames: int
    segments: int
    files: dict[str, int]
    loudness: Loudness = Loudness.TAGGED
    recording_content: str | None = None
    recording_sha256: str | None = None

    @property
    def stop_frame(self) -> int:
        """Where the part ends."""
        return self.start_frame + self.frames

    @property
    def names(self) -> tuple[str, ...]:
        """All its files in the order in which they must be stored, `part.json` last."""
        return (*sorted(self.files), PART_NAME)

    @property
    def file_bytes(self) -> int:
        """Size of all its files but `part.json`."""
        return sum(self.files.values())


class PartWriter:
    """Write one part into a folder.

    Parameters
    ----------
    folder : Path
        Local; made if it is missing. What an earlier attempt left there is written over.
    keys : sequence of str
        Targets, in their order.
    geometry : Geometry
        Of the recording.
    """

    def __init__(self, folder: Path, *, keys: Sequence[str], geometry: Geometry) -> None:
        self._folder = folder
        self._keys = tuple(keys)
        self._geometry = geometry
        self._bounds: list[Ints] = []
        self._probs: list[Floats] = []
        self._detected: list[npt.NDArray[np.bool_]] = []
        self._sure: list[npt.NDArray[np.bool_]] = []
        self._detected_spans: list[npt.NDArray[np.float64]] = []
        self._stem_probs: list[Floats] = []
        self._active: list[npt.NDArray[np.bool_]] = []
        self._held_by: list[npt.NDArray[np.int16]] = []
        self._spans: list[npt.NDArray[np.float64]] = []
        self._stretches: list[tuple[int, int, int, int]] = []
        self._bytes: dict[str, int] = {}
        self._segments = 0
        self._loudness = Loudness.DIGITAL_SILENCE
        self._make_empty()

    def add(self, block: EstimateBlock) -> None:
        """Take the next block.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        bounds = segment_bounds(block, sample_rate=self._geometry.sample_rate)
        for target, key in enumerate(self._keys):
            estimate = block.estimates.get(key)
            if estimate is not None:
                self._add_estimate(target, estimate, bounds=bounds)
        self._bounds.append(bounds)
        self._probs.append(np.asarray(block.segment_probs, np.float32))
        self._detected.append(np.asarray(block.detected, np.bool_))
        self._sure.append(np.asarray(block.sure, np.bool_))
        self._stem_probs.append(np.asarray(block.stem_probs, np.float32))
        for segment, spans in enumerate(block.detected_spans, start=self._segments):
            self._detected_spans.append(np.insert(np.asarray(spans, np.float64), 0, segment, axis=1))
        self._active.append(np.asarray(block.active, np.bool_))
        self._held_by.append(np.asarray(block.held_by, np.int16))
        self._spans.append(np.asarray(block.segment_spans_seconds, np.float64))
        self._segments += len(bounds) - 1
        self._loudness = max(self._loudness, Loudness.of(block))

    def close(self, *, run_id: str, recording: RecordingFacts) -> PartFacts:
        """Finish the part.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        bounds = np.concatenate([*(bounds[:-1] for bounds in self._bounds), self._bounds[-1][-1:]])
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            bounds=bounds,
            probs=np.concatenate(self._probs),
            detected=np.concatenate(self._detected),
            sure=np.concatenate(self._sure),
            numbered_spans=np.concatenate([np.zeros((0, 4)), *self._detected_spans]),
            stem_probs=np.concatenate(self._stem_probs),
            active=np.concatenate(self._active),
            held_by=np.concatenate(self._held_by),
            segment_spans_seconds=np.concatenate(self._spans),
            stretches=np.array(self._stretches, np.int64).reshape(-1, 4),
        )
        Store(self._folder / _SEGMENTS_NAME).put(buffer.getvalue())
        self._bytes[_SEGMENTS_NAME] = buffer.tell()
        facts = PartFacts(
            run_id=run_id,
            recording_id=recording.recording_id,
            recording_content=recording.recording_content,
            recording_sha256=recording.recording_sha256,
            keys=self._keys,
            sample_rate=self._geometry.sample_rate,
            channels=self._geometry.channels,
            start_frame=int(bounds[0]),
            frames=int(bounds[-1] - bounds[0]),
            segments=self._segments,
            loudness=self._loudness,
            files=dict(self._bytes),
        )
        Store(self._folder / PART_NAME).put(facts.canonical_json().encode())
        return facts

    def _make_empty(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / PART_NAME).unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def _add_estimate(self, target: int, estimate: Floats, *, bounds: Ints) -> None:
        origin = int(bounds[0])
        for segment, (start, stop) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
            sounding = np.flatnonzero(np.any(estimate[:, start - origin : stop - origin], axis=0))
            if sounding.size:
                first, last = start + int(sounding[0]), start + int(sounding[-1]) + 1
                self._append(target, estimate[:, first - origin : last - origin])
                self._stretches.append((target, self._segments + segment, first, last - first))

    def _append(self, target: int, samples: Floats) -> None:
        name = samples_name(target)
        data = np.ascontiguousarray(samples, _SAMPLE).tobytes()
        try:
            with open(self._folder / name, "ab" if name in self._bytes else "wb") as file:
                file.write(data)
        except OSError as error:
            raise _unwritable(self._folder / name, error) from error
        self._bytes[name] = self._bytes.get(name, 0) + len(data)


@dataclasses.dataclass(frozen=True)
class PartSegments:
    """What is known of the segments of a part.

    Parameters
    ----------
    bounds : ndarray of shape (segments + 1,), dtype=int64
        Where in the recording they begin, and where the last ends, in frames.
    probs : ndarray of shape (segments, targets), dtype=float32
    detected, sure, active : ndarray of shape (segments, targets), dtype=bool
    held_by : ndarray of shape (segments, targets), dtype=int16
        See `blocks.EstimateBlock`.
    numbered_spans : ndarray of shape (n, 4), dtype=float64
        Segment of the part, target, start and end in seconds: what is detected in the segments.
    stem_probs : ndarray of shape (segments, targets), dtype=float32
    segment_spans_seconds : ndarray of shape (segments, 2), dtype=float64
        Start and end of the segments.
    stretches : ndarray of shape (n, 4), dtype=int64
        Target, segment of the part, first frame in the recording, frames: where there is sound, in the order of
        the samples in the target's file.
    """

    bounds: Ints
    probs: Floats
    detected: npt.NDArray[np.bool_]
    sure: npt.NDArray[np.bool_]
    active: npt.NDArray[np.bool_]
    held_by: npt.NDArray[np.int16]
    numbered_spans: npt.NDArray[np.float64]
    stem_probs: Floats
    segment_spans_seconds: npt.NDArray[np.float64]
    stretches: Ints

    @property
    def detected_spans(self) -> list[npt.NDArray[np.float64]]:
        """What is detected in each segment: target, start and end in seconds."""
        edges = np.searchsorted(self.numbered_spans[:, 0], np.arange(1, len(self.detected)))
        return np.split(self.numbered_spans[:, 1:], edges)


def read_part_facts(part: Store) -> PartFacts:
    """Read what a part is.

    Parameters
    ----------
    part : Store
        Folder of the part, of an output.

    Returns
    -------
    PartFacts
        As `PartWriter.close` gave them.

    Raises
    ------
    OutputError
        If there is no `part.json` or it cannot be read.
    DataError
        If it is of another version or not what it should be.
    """
    place = part / PART_NAME
    return parse_json(place.read(), PartFacts, item=str(place))


_DAMAGE = (
    ValueError,
    KeyError,
    OSError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)
"""What NumPy and zipfile raise where bytes of an archive are missing or others than were written."""


def read_part_segments(part: Store) -> PartSegments:
    """Read the segments of a part; parameters and errors as in `read_part_facts`."""
    place = part / _SEGMENTS_NAME
    data = place.read()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return PartSegments(
                **{field.name: arrays[field.name] for field in dataclasses.fields(PartSegments)}
            )
    except _DAMAGE as error:
        raise DataError(str(place), expected="the segments of a part", found=_short(error)) from error


class SampleReader:
    """Read the samples of one target of one part, in their order; a context manager.

    Parameters
    ----------
    part : Store
        Folder of the part, of an output.
    target : int
        Position of the target among the keys.
    channels : int
        Number of channels.
    """

    def __init__(self, part: Store, *, target: int, channels: int) -> None:
        place = part / samples_name(target)
        self._name = str(place)
        self._channels = channels
        self._file: BinaryIO = place.open()

    def read(self, n_frames: int) -> Floats:
        """Give the next samples, shape (channels, n_frames).

        Raises
        ------
        OutputError
            If the file cannot be read or ends before.
        """
        wanted = self._channels * n_frames * _SAMPLE.itemsize
        try:
            data = self._file.read(wanted)
        except OSError as error:
            raise OutputError(self._name, expected="samples of a part", found=_short(error)) from error
        if len(data) != wanted:
            raise OutputError(self._name, expected=f"{wanted} more bytes", found=str(len(data)))
        return np.frombuffer(data, _SAMPLE).reshape(self._channels, n_frames)

    def __enter__(self) -> SampleReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def samples_name(target: int) -> str:
    """Name the file that holds the samples of a target."""
    return f"{target:05d}.f32"


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(str(path), expected="a place that can be written", found=_short(error))


def _short(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
