"""Two-source evaluation lists: which segment is the target, which the interference.

Owns the drawing and the CSV of a list; where candidate segments come from (true events or a miner) is for the caller.
"""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np

from uss_ray.errors import DataError
from uss_ray.store.store import Location, Store

logger = logging.getLogger(__name__)

PAIR_SECONDS: Final = 2.0
_LEAST_COVERAGE = 0.4
"""Share of a segment in which its class sounds."""
_FEWEST_CANDIDATES = 2
_CLIP_SECONDS = 10.0
_CLASSES_NAMED = 5


@dataclass(frozen=True)
class Candidate:
    """A segment that holds a class.

    Parameters
    ----------
    clip_id : str
    class_id : str
        MID.
    start_seconds : float
    """

    clip_id: str
    class_id: str
    start_seconds: float


@dataclass(frozen=True)
class EvaluationPair:
    """A target segment and an interfering one of an unrelated class."""

    class_id: str
    target_clip_id: str
    target_start_seconds: float
    other_class_id: str
    other_clip_id: str
    other_start_seconds: float


@dataclass(frozen=True)
class Event:
    """A true event of a clip, known for data sets that were made rather than collected."""

    clip_id: str
    class_id: str
    onset_seconds: float
    offset_seconds: float
    role: str


def read_events(path: Path, *, split: str) -> list[Event]:
    """Read true events from a TSV with columns segment_id, split, onset, offset, mid, role."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["split"] == split]
            return [
                Event(row["segment_id"], row["mid"], float(row["onset"]), float(row["offset"]), row["role"])
                for row in rows
            ]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(str(path), expected="a table of true events", found=repr(error)) from error


def candidates_from_events(events: Iterable[Event], *, segment_seconds: float) -> list[Candidate]:
    """Choose for each clip the segment that its target class fills best.

    Parameters
    ----------
    events : iterable of Event
    segment_seconds : float

    Returns
    -------
    list of Candidate
        Segments free of second events of other classes where there are such; ties go to the earliest.
    """
    by_clip: dict[str, list[Event]] = {}
    for event in events:
        by_clip.setdefault(event.clip_id, []).append(event)
    grid = np.round(np.arange(0.0, _CLIP_SECONDS - segment_seconds + 1e-9, 0.1), 1)
    chosen: list[Candidate] = []
    for clip_id, found in sorted(by_clip.items()):
        targets = [e for e in found if e.role == "target"]
        if not targets:
            continue
        class_id = targets[0].class_id
        own = _coverage([e for e in targets if e.class_id == class_id], grid, segment_seconds)
        others = _coverage(
            [e for e in found if e.role != "background" and e.class_id != class_id], grid, segment_seconds
        )
        value = np.round(own - 0.5 * others, 6)
        best = int(value.argmax())
        if own[best] >= _LEAST_COVERAGE:
            chosen.append(Candidate(clip_id, class_id, float(grid[best])))
    return chosen


def _coverage(events: Sequence[Event], starts: np.ndarray, segment_seconds: float) -> np.ndarray:
    covered = np.zeros(len(starts))
    for event in events:
        covered += np.clip(
            np.minimum(event.offset_seconds, starts + segment_seconds)
            - np.maximum(event.onset_seconds, starts),
            0,
            None,
        )
    return np.minimum(covered / segment_seconds, 1.0)


def draw_pairs(
    candidates: Sequence[Candidate],
    *,
    conflict: Callable[[Candidate, Candidate], bool],
    pairs_per_class: int = 10,
    seed: int = 0,
) -> list[EvaluationPair]:
    """Draw pairs, evenly over classes and over the classes that interfere.

    Targets that conflict with all others are left out, and a warning says how many of which classes.

    Parameters
    ----------
    candidates : sequence of Candidate
        Classes with a single one are left out too.
    conflict : callable
        True if two candidates must not be mixed.
    pairs_per_class : int, default=10
    seed : int, default=0

    Returns
    -------
    list of EvaluationPair
        Sorted by class id.
    """
    rng = np.random.default_rng(seed)
    by_class: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_class.setdefault(candidate.class_id, []).append(candidate)
    pairs: list[EvaluationPair] = []
    without: Counter[str] = Counter()
    for class_id in sorted(by_class):
        own = by_class[class_id]
        if len(own) < _FEWEST_CANDIDATES:
            without[class_id] = pairs_per_class
            continue
        for number in range(pairs_per_class):
            target = own[number % len(own)]
            free = [c for c in sorted(by_class) if any(not conflict(target, o) for o in by_class[c])]
            if not free:
                without[class_id] += 1
                continue
            others = [o for o in by_class[free[rng.integers(len(free))]] if not conflict(target, o)]
            other = others[rng.integers(len(others))]
            pairs.append(
                EvaluationPair(
                    class_id,
                    target.clip_id,
                    target.start_seconds,
                    other.class_id,
                    other.clip_id,
                    other.start_seconds,
                )
            )
    warn_of_fewer(without, wanted=pairs_per_class * len(by_class))
    return pairs


def warn_of_fewer(without: Mapping[str, int], *, wanted: int) -> None:
    """Warn of pairs that cannot be drawn.

    Parameters
    ----------
    without : mapping of str to int
        How many there are of each class.
    wanted : int
        How many pairs were to be drawn.
    """
    lost = sum(without.values())
    if lost:
        classes = sorted(without, key=lambda label: (-without[label], label))
        named = ", ".join(f"{label} ({without[label]})" for label in classes[:_CLASSES_NAMED])
        more = f" and {len(classes) - _CLASSES_NAMED} more classes" if len(classes) > _CLASSES_NAMED else ""
        logger.warning(
            "%d of %d pairs are left out, for want of clips that may be mixed: %s%s",
            lost,
            wanted,
            named,
            more,
        )


def pairs_csv(pairs: Iterable[EvaluationPair]) -> str:
    """Give a list as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(EvaluationPair)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(pair) for pair in pairs)
    return text.getvalue()


def write_pairs(pairs: Iterable[EvaluationPair], place: Location | Store) -> None:
    """Write a list as CSV.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    Store.of(place).put(pairs_csv(pairs).encode())


def read_pairs(location: Location | Store) -> list[EvaluationPair]:
    """Read a list written by `write_pairs`.

    Raises
    ------
    DataError
        If it cannot be read, a column is missing or a time is no number.
    """
    place = Store.of(location, DataError)
    lines = io.StringIO(place.read().decode(errors="replace"))
    try:
        return [
            EvaluationPair(
                row["class_id"],
                row["target_clip_id"],
                float(row["target_start_seconds"]),
                row["other_class_id"],
                row["other_clip_id"],
                float(row["other_start_seconds"]),
            )
            for row in csv.DictReader(lines)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(str(place), expected="a list of evaluation pairs", found=repr(error)) from error
