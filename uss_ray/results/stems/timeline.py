"""The parts of one recording in a row: which segments it has, and where each target sounds.

Owns the order and the checks that the parts fit each other. Takes a bit a segment and target, and a line for each
segment with sound; samples are read when they are asked for, a segment at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from uss_ray.errors import DataError
from uss_ray.results.blocks import Geometry, Stretch
from uss_ray.results.index.activity import Activities, ActivityLog, Sounding
from uss_ray.results.stems.part_files import PartFacts, SampleReader, read_part_facts, read_part_segments
from uss_ray.store.store import Store

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class Timeline:
    """All parts of one recording.

    Parameters
    ----------
    locations : sequence of str
        Folders of the parts, in order.
    run_id, recording_id : str
        What they must be parts of.
    keys : tuple of str
        The targets they must have.
    geometry : Geometry
        The rate and channels they must have.
    spans_have_files : bool
        See `StemRun.spans_have_files`.

    Attributes
    ----------
    parts : tuple of PartFacts
        In order.
    bounds : ndarray of shape (segments + 1,), dtype=int64
        Where the segments begin, and where the recording ends, in frames.
    held_by : ndarray of shape (segments, targets), dtype=int16
        See `blocks.EstimateBlock`.

    Raises
    ------
    DataError
        If parts are missing, overlap, or are parts of something else.
    OutputError
        If a part cannot be read.
    """

    def __init__(
        self,
        locations: Sequence[Store],
        *,
        run_id: str,
        recording_id: str,
        keys: tuple[str, ...],
        geometry: Geometry,
        spans_have_files: bool,
    ) -> None:
        if not locations:
            raise DataError(f"parts of {recording_id}", expected="at least one part", found="none")
        self._locations = tuple(locations)
        self._channels = geometry.channels
        self.parts = tuple(read_part_facts(location) for location in locations)
        wanted = (run_id, recording_id, keys, geometry.sample_rate, geometry.channels)
        _check_parts(self.parts, locations=self._locations, wanted=wanted)
        log = ActivityLog(keys, with_separated=spans_have_files)
        bounds: list[Ints] = []
        active_bits, stretches = [], []
        held_by = []
        segments = 0
        for number, location in enumerate(locations):
            found = read_part_segments(location)
            log.add(
                found.probs,
                sounding=Sounding.of(found),
                active=found.active,
                spans_seconds=found.segment_spans_seconds,
                stem_probs=found.stem_probs,
                loudness=self.parts[number].loudness,
            )
            bounds.append(found.bounds[:-1])
            held_by.append(found.held_by)
            active_bits.append(np.packbits(found.active, axis=1))
            rows = np.insert(found.stretches, 0, number, axis=1)
            rows[:, 2] += segments
            stretches.append(rows)
            segments += len(found.active)
        self.bounds: Ints = np.append(np.concatenate(bounds), self.parts[-1].stop_frame)
        self.held_by: npt.NDArray[np.int16] = np.concatenate(held_by)
        self._log = log
        self._active_bits = np.concatenate(active_bits)
        by_part = np.concatenate(stretches)
        self._stretches = by_part[np.argsort(by_part[:, 1], kind="stable")]
        self._targets = np.searchsorted(self._stretches[:, 1], np.arange(len(keys) + 1))

    @property
    def frames(self) -> int:
        """Length of the recording."""
        return self.parts[-1].stop_frame

    def heard(self, key: str) -> Sequence[tuple[float, float]]:
        """Give start and end in seconds of where a target sounds."""
        return self._log.spans_so_far(key)

    def activities(self) -> Activities:
        """Give what the segments said of each target."""
        return self._log.result(total_seconds=self.frames / self.parts[0].sample_rate)

    @functools.cached_property
    def present(self) -> list[int]:
        """Which targets are active or sound somewhere."""
        n_targets = len(self.parts[0].keys)
        active = np.unpackbits(np.bitwise_or.reduce(self._active_bits, axis=0), count=n_targets)
        present: list[int] = np.union1d(np.flatnonzero(active), self._stretches[:, 1]).tolist()
        return present

    def stretches(self, target: int) -> Iterator[Stretch]:
        """Give the segments in which one target is active or sounds, from the beginning of the recording to its end."""
        active = np.unpackbits(self._active_bits[:, target // 8, None], axis=1)[:, target % 8]
        of_target = self._of_target(target)
        sounds = self._sounds(of_target)
        sound = next(sounds, None)
        for segment in np.union1d(np.flatnonzero(active), of_target[:, 2]).tolist():
            start, n_frames = int(self.bounds[segment]), self._length(segment)
            samples = None
            if sound is not None and sound[0] == segment:
                _, first_frame, found = sound
                samples = np.zeros((self._channels, n_frames), np.float32)
                samples[:, first_frame - start : first_frame - start + found.shape[1]] = found
                sound = next(sounds, None)
            yield Stretch(start, n_frames, samples, bool(active[segment]))

    def sounds_of_part(self, target: int, *, part: int) -> Iterator[tuple[int, Floats]]:
        """Give first frame and samples of each stretch of a part in which a target sounds."""
        of_target = self._of_target(target)
        for _, first_frame, samples in self._sounds(of_target[of_target[:, 0] == part]):
            yield first_frame, samples

    def segments_of_part(self, part: int) -> Ints:
        """Give the bounds of the segments of a part, with its end."""
        facts = self.parts[part]
        first, last = np.searchsorted(self.bounds, [facts.start_frame, facts.stop_frame])
        return self.bounds[first : last + 1]

    def _of_target(self, target: int) -> Ints:
        return self._stretches[self._targets[target] : self._targets[target + 1]]

    def _sounds(self, stretches: Ints) -> Iterator[tuple[int, int, Floats]]:
        for part in np.unique(stretches[:, 0]).tolist():
            of_part = stretches[stretches[:, 0] == part]
            target = int(of_part[0, 1])
            with SampleReader(self._locations[part], target=target, channels=self._channels) as reader:
                for _, _, segment, first_frame, n_frames in of_part.tolist():
                    yield segment, first_frame, reader.read(n_frames)

    def _length(self, segment: int) -> int:
        return int(self.bounds[segment + 1] - self.bounds[segment])


def _check_parts(
    parts: Sequence[PartFacts], *, locations: Sequence[Store], wanted: tuple[object, ...]
) -> None:
    names = ("run_id", "recording_id", "keys", "sample_rate", "channels")
    start_frame = 0
    for part, location in zip(parts, locations, strict=True):
        for name, value in zip(names, wanted, strict=True):
            if getattr(part, name) != value:
                raise DataError(f"{location}, {name}", expected=str(value), found=str(getattr(part, name)))
        if part.start_frame != start_frame:
            raise DataError(
                str(location), expected=f"a part from frame {start_frame}", found=f"from {part.start_frame}"
            )
        start_frame = part.stop_frame
