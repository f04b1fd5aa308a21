"""Weak labels meet audio: a stream of clips from a container, each with its line of the segment CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio, ClipReader
from uss_ray.datasets.segment_table import ClipMatch, SegmentTable
from uss_ray.datasets.segments import ClipRecord

Holds = Literal["excerpt", "recording", "either"]
"""What an audio file is: the labelled excerpt alone, the whole recording, or what its length will tell."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledClip:
    """A clip with labels and audio, not decoded yet.

    Parameters
    ----------
    record : ClipRecord
    audio : ClipAudio
    holds : {"excerpt", "recording", "either"}
    row : int
        Of the segment table.
    """

    record: ClipRecord
    audio: ClipAudio
    holds: Holds
    row: int


def join_clips(
    reader: ClipReader, *, table: SegmentTable, wanted: Callable[[int], bool] | None = None
) -> Iterator[LabelledClip | BrokenContainer]:
    """Read the labelled clips of a container, in its order; what the table does not name is not read.

    Parameters
    ----------
    reader : ClipReader
    table : SegmentTable
    wanted : callable, optional
        Tells by its row whether a clip is to be read; None reads all.

    Yields
    ------
    LabelledClip or BrokenContainer
        A recording with several labelled excerpts comes once for each. A clip that is in the container twice comes
        twice.
    """

    def is_wanted(name: str) -> bool:
        match = table.match(name)
        return match is not None and bool(_rows(match, wanted))

    for audio in reader(wanted=is_wanted):
        match = None if isinstance(audio, BrokenContainer) else table.match(audio.name)
        if isinstance(audio, BrokenContainer):
            yield audio
        elif match is not None:
            for row in _rows(match, wanted):
                yield LabelledClip(table.record(row), audio, holds_of(match), row)


def holds_of(match: ClipMatch) -> Holds:
    """Tell what an audio file is, as far as its name does.

    Notes
    -----
    One file for several excerpts can only be the recording: were it taken for an excerpt, the same sound would get
    the labels of them all.
    """
    if match.is_excerpt:
        return "excerpt"
    return "either" if len(match.rows) == 1 else "recording"


def _rows(match: ClipMatch, wanted: Callable[[int], bool] | None) -> list[int]:
    return [row for row in match.rows if wanted is None or wanted(row)]
