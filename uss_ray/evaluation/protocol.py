"""The labels of a data set in AudioSet's format, and the two-source list that is drawn of its true events."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from uss_ray.datasets.segments import ClipRecord, read_segments
from uss_ray.errors import DataError
from uss_ray.evaluation.pairs import (
    PAIR_SECONDS,
    Candidate,
    EvaluationPair,
    Event,
    candidates_from_events,
    draw_pairs,
    read_events,
    write_pairs,
)
from uss_ray.ontology.vocabulary import Vocabulary

_EVENTS = Path("metadata", "strong_labels.tsv")


def read_split(data: Path, *, split: str, vocabulary: Vocabulary) -> list[ClipRecord]:
    """Read the weak labels of a split of a data set in AudioSet's format.

    Parameters
    ----------
    data : Path
        Folder with `metadata/<split>_segments.csv` and `audio/<split>`.
    split : str
    vocabulary : Vocabulary

    Raises
    ------
    DataError
        If the table is missing or names a class that the class list lacks.
    """
    class_index = {class_id: index for index, class_id in enumerate(vocabulary.classes.ids)}
    return read_segments(data / "metadata" / f"{split}_segments.csv", class_index=class_index)


def read_true_events(
    data: Path, *, split: str, vocabulary: Vocabulary, clips: Collection[str] | None = None
) -> list[Event]:
    """Read the true events of a split of a data set in audioset_mini's layout.

    Parameters
    ----------
    data : Path
        Folder with `metadata/strong_labels.tsv`.
    split : str
    vocabulary : Vocabulary
    clips : collection of str, optional
        Ids that there are; without it, events may be of others.

    Raises
    ------
    DataError
        If the table is missing, or names a class that the ontology lacks or a clip that is not among those.
    """
    place = data / _EVENTS
    events = read_events(place, split=split)
    for event in events:
        if event.class_id not in vocabulary.ontology.nodes:
            raise DataError(
                f"{place} {event.clip_id}", expected="a class of the ontology", found=event.class_id
            )
        if clips is not None and event.clip_id not in clips:
            expected = f"a clip of {split}_segments.csv"
            raise DataError(f"{place} {event.clip_id}", expected=expected, found="one that it lacks")
    return events


def build_pairs(
    data: Path, *, vocabulary: Vocabulary, segment_seconds: float, seed: int = 0, split: str = "eval"
) -> list[EvaluationPair]:
    """Draw the two-source list of a split, from its true events.

    Two segments are mixed only if their clips differ, neither class holds the other in the ontology, and neither
    clip is labelled with the class of the other.

    Parameters
    ----------
    data : Path
        Data set with `metadata/strong_labels.tsv`.
    vocabulary : Vocabulary
    segment_seconds : float
    seed : int, default=0
    split : str, default="eval"

    Raises
    ------
    DataError
        If the data set has no true events, or one of a clip or class that it does not know.
    """
    labels = {
        record.clip_id: {vocabulary.classes.ids[index] for index in record.class_indexes}
        for record in read_split(data, split=split, vocabulary=vocabulary)
    }
    events = read_true_events(data, split=split, vocabulary=vocabulary, clips=labels)

    def conflict(one: Candidate, other: Candidate) -> bool:
        return (
            one.clip_id == other.clip_id
            or vocabulary.ontology.related(one.class_id, other.class_id)
            or one.class_id in labels[other.clip_id]
            or other.class_id in labels[one.clip_id]
        )

    candidates = candidates_from_events(events, segment_seconds=segment_seconds)
    if not candidates:
        raise DataError(str(data), expected=f"events of the {split} split that fill a segment", found="none")
    return draw_pairs(candidates, conflict=conflict, seed=seed)


def write_list(
    data: Path,
    output: Path,
    *,
    vocabulary: Vocabulary | None = None,
    seed: int = 0,
) -> int:
    """Write the two-source list of a data set as CSV and return the number of its pairs."""
    vocabulary = vocabulary or Vocabulary.load()
    drawn = build_pairs(data, vocabulary=vocabulary, segment_seconds=PAIR_SECONDS, seed=seed)
    write_pairs(drawn, output)
    return len(drawn)
