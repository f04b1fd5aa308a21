"""Classes that are left out of training: a list of them, and what is left of a data set without their clips."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Set
from dataclasses import dataclass

from uss_ray.datasets.segments import ClipRecord, stream_segments
from uss_ray.errors import DataError, QueryError
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.store.store import Location, Store

_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class WithoutClasses:
    """What is left of a data set.

    Parameters
    ----------
    kept : tuple of ClipRecord
    dropped : int
        Clips that were labelled with one of the classes.
    lost : tuple of str
        Labels of further classes that had clips, and have none left.
    """

    kept: tuple[ClipRecord, ...]
    dropped: int
    lost: tuple[str, ...]

    def to_csv(self, vocabulary: Vocabulary) -> bytes:
        """Write what is left as a segment CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for clip in self.kept:
            labels = ",".join(vocabulary.classes.ids[index] for index in clip.class_indexes)
            writer.writerow((clip.clip_id, _digits(clip.start_seconds), _digits(clip.end_seconds), labels))
        return text.getvalue().encode()


def _digits(seconds: float) -> str:
    """Write a time with all the digits that it takes to read the same one again."""
    return repr(float(seconds)).removesuffix(".0")


def read_class_list(location: Location | Store, *, vocabulary: Vocabulary) -> frozenset[str]:
    """Read a list of classes; all that lies below one in the ontology belongs to it.

    Parameters
    ----------
    location : Store, str or path
        Text, a class a line, by label or id; what is behind a `#` is a remark.
    vocabulary : Vocabulary

    Returns
    -------
    frozenset of str
        Node ids.

    Raises
    ------
    DataError
        If it cannot be read, is empty, or names something else than a class.
    """
    place = Store.of(location, DataError)
    found: set[str] = set()
    text = place.read(most_bytes=_MOST_BYTES).decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        try:
            node = vocabulary.resolve(name)
        except QueryError as error:
            raise DataError(f"{place} line {number}", expected=error.expected, found=name) from error
        found.update(below.node_id for below in vocabulary.ontology.descendants(node.node_id))
    if not found:
        raise DataError(str(place), expected="a class a line", found="none")
    return frozenset(found)


def without_classes(
    segments: Iterable[Location | Store], classes: Set[str], *, vocabulary: Vocabulary
) -> WithoutClasses:
    """Leave out each clip that is labelled with one of some classes, whatever else sounds in it.

    Parameters
    ----------
    segments : iterable of Store, str or path
        Segment CSVs.
    classes : set of str
        Node ids, as of `read_class_list`.
    vocabulary : Vocabulary

    Raises
    ------
    DataError
        If a CSV cannot be read, or nothing is left.
    """
    places = list(segments)
    index = {class_id: place for place, class_id in enumerate(vocabulary.classes.ids)}
    held = {index[class_id] for class_id in classes if class_id in index}
    clips = [clip for place in places for clip in stream_segments(place, class_index=index)]
    kept = tuple(clip for clip in clips if held.isdisjoint(clip.class_indexes))
    if not kept:
        raise DataError(", ".join(map(str, places)), expected="clips without these classes", found="none")
    had = {label for clip in clips for label in clip.class_indexes} - held
    have = {label for clip in kept for label in clip.class_indexes}
    lost = tuple(vocabulary.classes.labels[label] for label in sorted(had - have))
    return WithoutClasses(kept=kept, dropped=len(clips) - len(kept), lost=lost)
