"""Reading the text of an ontology or class list: a file of the user's, or the AudioSet one in the package.

Owns where the text comes from and the errors of reading it; what the text means belongs to `graph` and `classes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field

from uss_ray.config import Location
from uss_ray.errors import DataError

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
