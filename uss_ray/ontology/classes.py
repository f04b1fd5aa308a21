"""The trained classes: class_index <-> class_id (MID) <-> label, in the order of the tagger's outputs.

Owns AudioSet's CSV format and its checks. How classes nest is left to `graph`.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from uss_ray.errors import DataError, QueryError
from uss_ray.ontology.source import read_source

PACKAGED_CLASSES = "class_labels_indices.csv"
COLUMNS = ("index", "mid", "display_name")


class ClassList:
    """A checked class list; read it with `ClassList.load` or `ClassList.parse`.

    Parameters
    ----------
    ids : tuple of str
        Class ids (MIDs); the position is the class index.
    labels : tuple of str
        Display names, in the same order.
    name : str
        Where the list comes from, for errors.
    """

    def __init__(self, ids: tuple[str, ...], labels: tuple[str, ...], *, name: str) -> None:
        self.ids = ids
        self.labels = labels
        self.name = name
        self._indexes = {class_id: class_index for class_index, class_id in enumerate(ids)}

    @classmethod
    def load(cls, path: str | Path | None = None) -> ClassList:
        """Read a class list in AudioSet's CSV format.

        Parameters
        ----------
        path : str, Path or None, default=None
            A CSV file with the header ``index,mid,display_name``; rows may come in any order. None takes AudioSet's
            trained classes, which ship in the package.

        Returns
        -------
        ClassList
            The checked list.

        Raises
        ------
        DataError
            If the file cannot be read, has another header, an empty field, a duplicate id, or indexes that are not
            0, 1, 2, … without a gap.

        Examples
        --------
        >>> classes = ClassList.load()
        >>> len(classes), classes.index("/m/09x0r"), classes.labels[0]
        (527, 0, 'Speech')
        """
        source = read_source(path, packaged=PACKAGED_CLASSES)
        return cls.parse(source.text, name=source.name)

    @classmethod
    def parse(cls, text: str, *, name: str) -> ClassList:
        """Build the list from CSV text; `name` is what an error blames. Raises as `load` does."""
        rows = _parse_rows(text, name=name)
        missing = next((class_index for class_index in range(len(rows)) if class_index not in rows), None)
        if missing is not None:
            raise DataError(
                name,
                expected=f"class indexes 0 to {len(rows) - 1} without a gap",
                found=f"no row of index {missing}",
            )
        ordered = [rows[class_index] for class_index in range(len(rows))]
        return cls(tuple(row[0] for row in ordered), tuple(row[1] for row in ordered), name=name)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, class_id: object) -> bool:
        return class_id in self._indexes

    def index(self, class_id: str) -> int:
        """Return the class index of a class id.

        Raises
        ------
        QueryError
            If the id is not that of a trained class.
        """
        try:
            return self._indexes[class_id]
        except KeyError:
            raise QueryError(class_id, expected=f"a class id of {self.name}", found="an unknown id") from None


def _parse_rows(text: str, *, name: str) -> dict[int, tuple[str, str]]:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    header = tuple(next(reader, ()))
    if header != COLUMNS:
        raise DataError(
            name, expected=f"the header {','.join(COLUMNS)}", found=",".join(header) or "an empty file"
        )
    rows: dict[int, tuple[str, str]] = {}
    lines_of_ids: dict[str, int] = {}
    for row in reader:
        where = f"{name}, line {reader.line_num}"
        if not row:
            continue
        if len(row) != len(COLUMNS) or not all(field.strip() for field in row):
            raise DataError(where, expected="three non-empty fields", found=",".join(row))
        index_text, class_id, label = (field.strip() for field in row)
        if not (index_text.isascii() and index_text.isdecimal()):
            raise DataError(where, expected="a class index from 0 up", found=index_text)
        class_index = int(index_text)
        if class_index in rows:
            raise DataError(where, expected="each class index once", found=f"index {class_index} again")
        if class_id in lines_of_ids:
            raise DataError(
                where,
                expected="each class id once",
                found=f"{class_id} again, first in line {lines_of_ids[class_id]}",
            )
        rows[class_index] = (class_id, label)
        lines_of_ids[class_id] = reader.line_num
    if not rows:
        raise DataError(name, expected="at least one class", found="a header and nothing else")
    return rows
