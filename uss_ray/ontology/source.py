"""Reading the text of an ontology or class list: a file of the user's, or the AudioSet one in the package.

Owns where the text comes from and the errors of reading it; what the text means belongs to `graph` and `classes`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from uss_ray.config import Location
from uss_ray.errors import DataError
from uss_ray.parsing import read_json

Parsed = TypeVar("Parsed", list[Any], dict[str, Any])

OntologyFile = Annotated[
    Location | None,
    Field(description="Another ontology, in AudioSet's JSON format; without it AudioSet's own."),
]
ClassListFile = Annotated[
    Location | None, Field(description="Its classes, in AudioSet's CSV format; without it AudioSet's own.")
]


@dataclass(frozen=True, slots=True)
class SourceText:
    """The text of a file and the name to blame in an error.

    Attributes
    ----------
    name : str
        The path as given, or the file name inside the package.
    text : str
        The whole file, without a byte order mark.
    """

    name: str
    text: str

    def parsed(self, kind: type[Parsed], *, expected: str) -> Parsed:
        """Parse it as JSON of one kind; `expected` is what an error calls that.

        Raises
        ------
        DataError
            If it is empty, no JSON, or of another kind.
        """
        if not self.text.strip():
            raise DataError(self.name, expected=expected, found="an empty file")
        try:
            document = read_json(self.text)
        except json.JSONDecodeError as error:
            found = f"{error.msg} in line {error.lineno}"
            raise DataError(self.name, expected=expected, found=found) from error
        if not isinstance(document, kind):
            raise DataError(self.name, expected=expected, found=f"a {type(document).__name__}")
        return document


def read_source(path: str | Path | None, *, packaged: str) -> SourceText:
    """Read a UTF-8 file, or the packaged one.

    Parameters
    ----------
    path : str, Path or None
        A local file; None takes the packaged one.
    packaged : str
        File name inside `uss_ray/ontology/data`.

    Returns
    -------
    SourceText
        Name and text.

    Raises
    ------
    DataError
        If the file cannot be read or is not UTF-8.
    """
    name = packaged if path is None else str(path)
    file = resources.files("uss_ray.ontology") / "data" / packaged if path is None else Path(path)
    try:
        return SourceText(name, file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(name, expected="a readable file", found=error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise DataError(
            name, expected="UTF-8 text", found=f"a wrong byte at position {error.start}"
        ) from error
