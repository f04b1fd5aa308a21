"""What a service answers with, as plain values; stems stay encoded as they came."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from uss_ray.client.errors import understood
from uss_ray.errors import OutputError
from uss_ray.parsing import read_json

Row = Mapping[str, Any]
"""What became of one thing that was asked for; its fields are the columns of an index (`uss-ray find`)."""

_INDEX = "index.json"
_ZIP = "a ZIP file of stems"


@dataclass(frozen=True, kw_only=True)
class SoundClass:
    """A node of the ontology.

    Attributes
    ----------
    node_id, label : str
    level : int
        Roots are 1.
    parent_ids : tuple of str
    is_separable : bool
        Whether a stem can be made of it.
    is_known : bool
        Whether the weights of the service were trained on it.
    """

    node_id: str
    label: str
    level: int
    parent_ids: tuple[str, ...]
    is_separable: bool
    is_known: bool

    @classmethod
    def of(cls, node: Row) -> SoundClass:
        """Make it from an answer; what a later service says besides is left out."""
        values = {name: node[name] for name in cls.__dataclass_fields__}
        return cls(**{**values, "parent_ids": tuple(node["parent_ids"])})


@dataclass(frozen=True, kw_only=True)
class Tags:
    """What sounds when in a recording.

    Attributes
    ----------
    seconds : float
        Length of the recording.
    segment_seconds : float
        Duration of a segment.
    nodes : tuple of mapping
        The most probable first: `node_id`, `label`, `level`, `probability`, `active_spans`, and `segments`, the
        probability of each segment.
    """

    seconds: float
    segment_seconds: float
    nodes: tuple[Row, ...]


class Separation:
    """Stems of a recording, read from the answer as they are asked for.

    Parameters
    ----------
    archive : binary file
        The ZIP file that came; closed with this object.

    Attributes
    ----------
    rows : tuple of mapping
        One for each class that was asked for, also of those that are not there.
    run : mapping
        Weights, and how long it took.
    """

    def __init__(self, archive: BinaryIO) -> None:
        self._file = archive
        try:
            with understood(expected=_ZIP):
                self._zip = zipfile.ZipFile(archive)
                index = read_json(self._zip.read(_INDEX))
                self.rows: tuple[Row, ...] = tuple(index["rows"])
                self.run: Mapping[str, Any] = index["run"]
        except BaseException:
            archive.close()
            raise

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of all files but the index."""
        return tuple(name for name in self._zip.namelist() if name != _INDEX)

    def read(self, name: str) -> bytes:
        """Give a file by its name, a `stem_uri` of a row.

        Raises
        ------
        KeyError
            If there is none of that name.
        ServiceError
            If it has not come as it was sent.
        """
        entry = self._zip.getinfo(name)
        with understood(expected=_ZIP):
            return self._zip.read(entry)

    def __iter__(self) -> Iterator[str]:
        """Name what has a stem."""
        return (row["label"] for row in self.rows if row["stem_uri"] is not None)

    def __getitem__(self, label: str) -> bytes:
        """Give the stem of a sound by its label, as the file it is.

        Raises
        ------
        KeyError
            If there is no such sound, or it has no stem.
        """
        for row in self.rows:
            if label in (row["label"], row["node_id"]) and row["stem_uri"] is not None:
                return self.read(row["stem_uri"])
        raise KeyError(label)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write all files below a folder, the index last: all that it names is there then.

        Raises
        ------
        OutputError
            If they cannot be written; none of them is there then.
        ServiceError
            If one has not come as it was sent.
        """
        place = Path(folder)
        with written_to(str(place), expected="a folder with room for the stems"):
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".uss-ray-", dir=place) as scratch:
                with understood(expected=_ZIP):
                    self._zip.extractall(scratch)  # which lets no name lead out of the folder
                made = [path for path in Path(scratch).rglob("*") if path.is_file()]
                for path in sorted(made, key=lambda path: path.name == _INDEX):
                    final = place / path.relative_to(scratch)
                    final.parent.mkdir(parents=True, exist_ok=True)
                    path.replace(final)
        return place

    def close(self) -> None:
        """Let go of the answer."""
        self._zip.close()
        self._file.close()

    def __enter__(self) -> Separation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def written_to(place: str, *, expected: str) -> Iterator[None]:
    """Write files; what prevents it, as a disk that is full, is one kind of error."""
    try:
        yield
    except OSError as error:
        raise OutputError(place, expected=expected, found=error.strerror or str(error)) from error


@dataclass(frozen=True, kw_only=True)
class KeptResult:
    """A result that the service keeps for a while.

    Attributes
    ----------
    result_id : str
    expires : int or None
        Second of Unix time from which it is gone; None: with its job.
    rows : tuple of mapping
        One for each class that was asked for.
    """

    result_id: str
    expires: int | None
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the service tells of it.

    Attributes
    ----------
    job_id : str
    status : str
        queued, running, succeeded, failed or cancelled.
    found, finished, failed : int
        Recordings.
    reason : str or None
        Why it failed.
    output : str
        Where the results go.
    """

    job_id: str
    status: str
    found: int
    finished: int
    failed: int
    reason: str | None
    output: str

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ("succeeded", "failed", "cancelled")

    @classmethod
    def of(cls, said: Row) -> Job:
        """Make it from an answer."""
        return cls(
            job_id=said["id"],
            status=said["status"],
            found=said["found"],
            finished=said["finished"],
            failed=said["failed"],
            reason=said["reason"],
            output=said["output"]["uri"],
        )
