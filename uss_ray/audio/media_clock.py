"""The clock of a container: whether sound is missing between its packets, and how much.

FFmpeg hands on what it can read; behind a damaged place it goes on with the next packet that it finds, and whatever
lay between is gone without a word. Packets carry the time at which their sound is played: what is missing shows as a
gap there. Such a clock is rounded, often to milliseconds; some are those of a computer that recorded and waver or
drift; and those of two files that were joined begin anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

_LEAST_SECONDS = 0.012
"""Shorter than a packet of any usual coding; FFmpeg's own DVD muxer leaves 0.010 s in a whole recording."""
_PLAIN_SECONDS = 0.1
"""Gaps from here on count on a clock that wavers or drifts too, as for FFmpeg's `aresample`."""
_MOST_ODD = 2
_WAVERING_SECONDS = 0.002
_LONGEST_SECONDS = 3600.0
_SHORT_OF_END_SECONDS = 0.1
_MOST_TOLD = 3


@dataclass(frozen=True)
class Gap:
    """Sound that is missing.

    Attributes
    ----------
    at : int
        Samples that are decoded before it.
    frames : int
        How many are missing.
    """

    at: int
    frames: int


class PacketTimes:
    """When the packets of a track are played, as far as that is known before anything is decoded."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._length = 0.0
        self._end = -math.inf
        self._gap = -math.inf
        # Of packets that do not say how long they are.
        self._shortest, self._longest = math.inf, 0.0

    def add(self, start: float | None, length: float | None) -> None:
        """Take in the next packet: when it begins and how long it is, in seconds; one without a time tells nothing."""
        if start is None:
            return
        if self._start is not None and start >= self._start:
            step = start - self._start
            if self._length:
                self._gap = max(self._gap, step - self._length)
            else:
                self._shortest, self._longest = min(self._shortest, step), max(self._longest, step)
        self._start, self._length = start, length or 0.0
        self._end = max(self._end, start + self._length)

    def may_have_gaps(self) -> bool:
        """Tell whether it is worth decoding to find out."""
        return max(self._gap, self._longest - self._shortest) > _LEAST_SECONDS

    def note_of_end(self, stated: float | None) -> str | None:
        """Compare the end with the length that the container states, in seconds; None where they agree."""
        if stated is None or self._start is None:
            return None
        last = self._length or self._longest
        end = max(self._end, self._start + last)
        if stated - end <= _SHORT_OF_END_SECONDS + last:
            return None
        return (
            f"the file states a length of {stated:.1f} s, its sound ends at {end:.1f} s: the rest is missing"
        )


class ContainerClock:
    """Follows what is decoded, and finds where the clock is ahead of it.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    tick : float
        What the clock is rounded to, in seconds.

    Notes
    -----
    A clock that goes back begins anew there, and what it so takes back was no gap. Of one that goes back a little at
    times short gaps tell nothing; nor do they of one that is ahead a little again and again, by other steps than whole
    frames, which is what lost packets leave.
    """

    def __init__(self, sample_rate: int, *, tick: float) -> None:
        self._sample_rate = sample_rate
        self._rounding = 1 / sample_rate + 2 * tick
        self._least = _LEAST_SECONDS + 2 * tick
        self._wavering = _WAVERING_SECONDS + 2 * tick
        self._wavers = False
        self._ahead: list[tuple[Gap, float, bool]] = []
        self._at = 0
        self._length = 0.0
        self._end: float | None = None

    def add(self, start: float | None, samples: int) -> None:
        """Take in the next frame: when it is played, in seconds, if it says so, and its samples."""
        if start is not None and self._end is not None:
            step = start - self._end
            if step > self._least:
                gap = Gap(self._at, round(step * self._sample_rate))
                self._ahead.append((gap, self._end, step < _PLAIN_SECONDS and self._is_odd(step)))
            elif step < -self._wavering:
                self._wavers = self._wavers or step > -_PLAIN_SECONDS
                self._take_back(start)
        begin = self._end if start is None else start
        self._length = samples / self._sample_rate
        self._end = None if begin is None else begin + self._length
        self._at += samples

    def gaps(self, *, longest: float | None = None) -> tuple[tuple[Gap, ...], tuple[str, ...]]:
        """Give what is missing, in order, and notes of it.

        Parameters
        ----------
        longest : float, optional
            Seconds; a clock that is further ahead is another clock, or damaged. None: an hour. All gaps together are
            as long at the most, or as long as the sound that there is: the longest beyond that are jumps as well.
        """
        longest = _LONGEST_SECONDS if longest is None else longest
        most = max(longest * self._sample_rate, self._at)
        drifts = sum(is_odd for _, _, is_odd in self._ahead) > _MOST_ODD
        least = _PLAIN_SECONDS if self._wavers or drifts else 0.0
        found = [gap for gap, _, _ in self._ahead if gap.frames >= least * self._sample_rate]
        by_length = sorted(found, key=lambda gap: gap.frames)
        sums = accumulate(gap.frames for gap in by_length)
        believed = {
            gap
            for gap, together in zip(by_length, sums, strict=True)
            if gap.frames <= longest * self._sample_rate and together <= most
        }
        gaps = [gap for gap in found if gap in believed]
        jumps = [gap for gap in found if gap not in believed]
        return tuple(gaps), tuple(_notes(gaps, jumps, sample_rate=self._sample_rate))

    def _is_odd(self, step: float) -> bool:
        """Tell whether other than whole frames, as long as the last one, fit into a gap."""
        frames = round(step / self._length) if self._length else 0
        return not frames or abs(step - frames * self._length) > self._rounding

    def _take_back(self, start: float) -> None:
        """Drop the last gaps if the clock is about where it were without them."""
        while self._ahead:
            gap, before, _ = self._ahead[-1]
            played = (self._at - gap.at) / self._sample_rate
            if abs(start - before - played) > min(_PLAIN_SECONDS, gap.frames / self._sample_rate / 2):
                return
            self._ahead.pop()


def _notes(gaps: list[Gap], jumps: list[Gap], *, sample_rate: int) -> Iterable[str]:
    if gaps:
        missing = sum(gap.frames for gap in gaps) / sample_rate
        places = _places(gaps, gaps, sample_rate=sample_rate)
        yield f"{missing:.3f} s of sound are missing within the file and are silence here: {places}"
    if jumps:
        places = _places(jumps, gaps, sample_rate=sample_rate)
        yield f"the file's clock jumps, and what lies behind follows at once: {places}"


def _places(told: list[Gap], silent: list[Gap], *, sample_rate: int) -> str:
    shown = []
    for gap in told[:_MOST_TOLD]:
        before = sum(other.frames for other in silent if other.at < gap.at)
        shown.append(f"{gap.frames / sample_rate:.3f} s at {(gap.at + before) / sample_rate:.1f} s")
    more = f" and {len(told) - _MOST_TOLD} more places" if len(told) > _MOST_TOLD else ""
    return ", ".join(shown) + more
