"""How much of a labelled data set is really there, by class, before any work is done on it.

Names are read first, then the headers of what was found: nothing is decoded, and memory holds a few bytes a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from uss_ray.datasets.clip_audio import BrokenContainer, ClipPlace, ClipReader
from uss_ray.datasets.clip_sources import ClipSource
from uss_ray.datasets.decode import SHORT_FROM_SECONDS, probe_clip
from uss_ray.datasets.labelled_clips import LabelledClip, join_clips
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.errors import ConfigError, RecordingError
from uss_ray.ontology.classes import ClassList
from uss_ray.parallel import map_stream
from uss_ray.store.options import StoreOptions

Problem = Literal["missing", "duplicated", "unreadable", "short", "container"]
_SECONDS_AN_HOUR = 3600.0


@dataclass(frozen=True)
class ClipProblem:
    """Something about one clip, or about a container.

    Parameters
    ----------
    problem : {"missing", "duplicated", "unreadable", "short", "container"}
    clip_id : str
        Empty for a container.
    location : str
        Empty where there is none.
    reason : str
        One line.
    """

    problem: Problem
    clip_id: str
    location: str
    reason: str


@dataclass(frozen=True)
class ClassCoverage:
    """The clips of one class.

    Parameters
    ----------
    class_index : int
    class_id, label : str
    labelled, found, missing, duplicated, unreadable, short : int
        Clips; found ones include duplicated, unreadable and short ones.
    hours : float
        Of found clips that were not seen to be unreadable, by the spans in the segment CSV.
    """

    class_index: int
    class_id: str
    label: str
    labelled: int
    found: int
    missing: int
    duplicated: int
    unreadable: int
    short: int
    hours: float


@dataclass(frozen=True)
class Coverage:
    """A data set against its audio.

    Parameters
    ----------
    labelled, found, missing, duplicated, unreadable, short : int
        Clips, as in `ClassCoverage`. Of a clip that is there several times, each copy that may be mined has to be
        readable: the first one of each container, of which any may be the first to be asked.
    hours : float
        As in `ClassCoverage`.
    probed : int
        Found clips whose header was read; unreadable and short are counted among these.
    repeated : int
        Lines of the segment CSVs that name a clip again.
    unlabelled : int
        Clips in the containers that no line names.
    broken_containers : int
    classes : tuple of ClassCoverage
        Of the whole class list, in its order.
    """

    labelled: int
    found: int
    missing: int
    duplicated: int
    unreadable: int
    short: int
    hours: float
    probed: int
    repeated: int
    unlabelled: int
    broken_containers: int
    classes: tuple[ClassCoverage, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every labelled clip is there and nothing was seen to be unreadable."""
        return not (self.missing or self.unreadable or self.broken_containers)

    @property
    def is_empty(self) -> bool:
        """Whether not one labelled clip can be used."""
        return self.found == self.unreadable

    @property
    def classes_without_clips(self) -> tuple[ClassCoverage, ...]:
        """Classes of which no clip was found, labelled or not."""
        return tuple(row for row in self.classes if not row.found)


def check_coverage(
    table: SegmentTable,
    *,
    sources: Sequence[ClipSource],
    classes: ClassList,
    sample: int | None = None,
    seed: int = 0,
    threads: int = 8,
    on_problem: Callable[[ClipProblem], None] | None = None,
    progress: Callable[[float, float | None], None] | None = None,
) -> Coverage:
    """Compare labels with audio.

    Parameters
    ----------
    table : SegmentTable
    sources : sequence of ClipSource
        Where the audio is.
    classes : ClassList
    sample : int, optional
        Headers of so many found clips are read, drawn with `seed`; None reads them all, 0 none.
    seed : int, default=0
    threads : int, default=8
        That read headers.
    on_problem : callable, optional
        Gets each problem as it is found; they may be millions.
    progress : callable, optional
        Called with (headers read, headers to read).

    Returns
    -------
    Coverage

    Raises
    ------
    ConfigError
        If `sample` is negative.
    DataError
        If a store fails, or a container has not the columns or data sets that its format asks for.
    """
    if sample is not None and sample < 0:
        raise ConfigError("sample", expected="0 clips or more", found=str(sample))
    tally = _Tally(table, on_problem=on_problem)
    for source in sources:
        for reader in source.readers:
            tally.count_places(reader.places())
    tally.tell_missing()
    chosen = tally.choose(sample, seed=seed)
    to_read = int(chosen.sum())
    done = 0
    for source in sources if to_read else ():
        probe = partial(_probe, storage=source.place.options)
        for reader in source.readers:
            clips = _first_copies(reader, table=table, chosen=chosen)
            for probed in map_stream(probe, clips, threads=threads):
                tally.count_probe(probed)
                done += 1
                if progress is not None:
                    progress(done, to_read)
    tally.tell_lost(chosen)
    return tally.coverage(classes)


@dataclass(frozen=True)
class _Probed:
    clip: LabelledClip | BrokenContainer
    seconds: float
    fault: RecordingError | None


def _probe(clip: LabelledClip | BrokenContainer, *, storage: StoreOptions) -> _Probed:
    if isinstance(clip, BrokenContainer):
        return _Probed(clip, 0.0, None)
    try:
        return _Probed(clip, probe_clip(clip, storage=storage), None)
    except RecordingError as error:
        return _Probed(clip, 0.0, error)


def _first_copies(
    reader: ClipReader, *, table: SegmentTable, chosen: NDArray[np.bool_]
) -> Iterator[LabelledClip | BrokenContainer]:
    """Read chosen clips of a container, of each the copy that is mined if the container is the first to be asked."""
    still_open = chosen.copy()
    for clip in join_clips(reader, table=table, wanted=lambda row: bool(still_open[row])):
        if isinstance(clip, BrokenContainer):
            yield clip
        elif still_open[clip.row]:
            still_open[clip.row] = False
            yield clip


class _Tally:
    """A few bytes for each clip of the table, and what is told about them."""

    def __init__(self, table: SegmentTable, *, on_problem: Callable[[ClipProblem], None] | None) -> None:
        self._table = table
        self._on_problem = on_problem
        self._places = np.zeros(len(table), np.int32)
        self._probed = np.zeros(len(table), bool)
        self._unreadable = np.zeros(len(table), bool)
        self._short = np.zeros(len(table), bool)
        self._lost = np.zeros(len(table), bool)
        self._unlabelled = 0
        self._broken: set[str] = set()

    def count_places(self, places: Iterator[ClipPlace | BrokenContainer]) -> None:
        for place in places:
            if isinstance(place, BrokenContainer):
                self._count_broken(place)
                continue
            match = self._table.match(place.name)
            if match is None:
                self._unlabelled += 1
                continue
            for row in match.rows:
                self._places[row] += 1
                if self._places[row] > 1:
                    self._tell("duplicated", row, place.location, f"place {self._places[row]} of this clip")

    def tell_missing(self) -> None:
        for row in np.flatnonzero(self._places == 0):
            self._tell("missing", int(row), "", "no audio of that name")

    def choose(self, sample: int | None, *, seed: int) -> NDArray[np.bool_]:
        chosen = self._places > 0
        found = np.flatnonzero(chosen)
        if sample is not None and sample < len(found):
            chosen = np.zeros(len(chosen), bool)
            chosen[np.random.default_rng(seed).choice(found, sample, replace=False)] = True
        return chosen

    def count_probe(self, probed: _Probed) -> None:
        clip = probed.clip
        if isinstance(clip, BrokenContainer):
            self._count_broken(clip)
            return
        self._probed[clip.row] = True
        if probed.fault is not None:
            if not self._unreadable[clip.row]:
                self._tell("unreadable", clip.row, clip.audio.location, probed.fault.reason)
            self._unreadable[clip.row] = True
            return
        wanted_seconds = clip.record.end_seconds - clip.record.start_seconds
        if wanted_seconds - probed.seconds > SHORT_FROM_SECONDS and not self._short[clip.row]:
            self._short[clip.row] = True
            self._tell(
                "short", clip.row, clip.audio.location, f"{probed.seconds:.2f} of {wanted_seconds:.2f} s"
            )

    def tell_lost(self, chosen: NDArray[np.bool_]) -> None:
        self._lost = chosen & ~self._probed
        for row in np.flatnonzero(self._lost):
            self._tell("unreadable", int(row), "", "listed by its container, but not to be read from it")

    def coverage(self, classes: ClassList) -> Coverage:
        found = self._places > 0
        flags = {
            "labelled": np.ones(len(found), bool),
            "found": found,
            "missing": ~found,
            "duplicated": self._places > 1,
            "unreadable": self._lost | self._unreadable,
            "short": self._short,
        }
        seconds = self._table.seconds * (found & ~flags["unreadable"])
        totals = {
            name: self._table.class_totals(flag, classes=len(classes)).astype(int)
            for name, flag in flags.items()
        }
        hours = self._table.class_totals(seconds, classes=len(classes)) / _SECONDS_AN_HOUR
        return Coverage(
            **{name: int(flag.sum()) for name, flag in flags.items()},
            hours=float(seconds.sum()) / _SECONDS_AN_HOUR,
            probed=int(self._probed.sum()),
            repeated=self._table.repeated,
            unlabelled=self._unlabelled,
            broken_containers=len(self._broken),
            classes=tuple(
                ClassCoverage(
                    index,
                    class_id,
                    label,
                    **{name: int(counts[index]) for name, counts in totals.items()},
                    hours=float(hours[index]),
                )
                for index, (class_id, label) in enumerate(zip(classes.ids, classes.labels, strict=True))
            ),
        )

    def _count_broken(self, container: BrokenContainer) -> None:
        if container.location not in self._broken:
            self._broken.add(container.location)
            if self._on_problem is not None:
                self._on_problem(ClipProblem("container", "", container.location, container.reason))

    def _tell(self, problem: Problem, row: int, location: str, reason: str) -> None:
        if self._on_problem is not None:
            self._on_problem(ClipProblem(problem, self._table.clip_id(row), location, reason))
