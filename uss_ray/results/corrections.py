"""What a person says of findings: right or wrong, as the page of an archive writes it and a calibration reads it.

Owns the format, as JSON and as CSV; its schema is `docs/corrections.schema.json`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from uss_ray.config import Settings
from uss_ray.errors import ConfigError, DataError
from uss_ray.parsing import read_json
from uss_ray.store.store import Location, Store

CORRECTIONS_FORMAT: Literal["uss-ray-corrections"] = "uss-ray-corrections"
_FILE = (
    f"a file of corrections, as the page of an output saves it: JSON ({CORRECTIONS_FORMAT}, version 1) or CSV"
)
_NUMBERS = ("level", "probability", "start_seconds", "end_seconds")


class Correction(Settings):
    """What a person said of one finding."""

    recording_id: str = Field(min_length=1, description="As in the index.")
    node_id: str = Field(min_length=1, description="As in the index.")
    label: str = Field(description="Name of the sound.")
    level: int | None = Field(
        default=None, description="Level of the node; none for what was asked for by name."
    )
    start_seconds: float | None = Field(
        default=None, ge=0, description="Start of the event; none where the whole recording is meant."
    )
    end_seconds: float | None = Field(default=None, ge=0, description="End of the event.")
    verdict: Literal["right", "wrong"] = Field(
        description="Whether what the index says is so: for a sound that was found, that it is there; for one that was "
        "not, that it is not."
    )
    status: str = Field(description="What the index said: written, detected, silent or absent.")
    probability: float | None = Field(default=None, ge=0, le=1, description="What the index said.")
    weights_sha256: str = Field(description="The weights that said so.")
    noted_at: datetime = Field(description="When the person said it.")

    @property
    def is_there(self) -> bool:
        """Whether the sound is there, by what the person said."""
        return (self.verdict == "right") == (self.status in ("written", "detected", "silent"))


class Corrections(Settings):
    """A file of corrections."""

    format: Literal["uss-ray-corrections"] = CORRECTIONS_FORMAT
    version: Literal[1] = 1
    corrections: tuple[Correction, ...] = Field(
        default=(), description="In the order in which they were said."
    )

    def latest(self) -> dict[tuple[str, str, float | None], Correction]:
        """Give the last word on each finding, by recording, node and start of the event."""
        ordered = sorted(self.corrections, key=lambda one: one.noted_at)
        return {(one.recording_id, one.node_id, one.start_seconds): one for one in ordered}


def read_corrections(places: Iterable[Location | Store]) -> Corrections:
    """Read files that the page of an archive wrote, JSON or CSV, into one.

    Parameters
    ----------
    places : iterable of Store, str or path
        The files.

    Returns
    -------
    Corrections
        Of all of them, one after the other.

    Raises
    ------
    DataError
        If a file is not what it should be; it names the place in it.
    """
    found: list[Correction] = []
    for place in places:
        store = Store.of(place, DataError)
        text = store.read().decode("utf-8-sig", "replace")
        if not text.strip():
            raise DataError(str(store), expected=_FILE, found="an empty one")
        is_csv = text.split("\n", 1)[0].count(",") >= 1 and not text.lstrip().startswith(("{", "["))
        read = _from_csv if is_csv else _from_json
        try:
            found += read(text, name=str(store))
        except csv.Error as error:
            raise DataError(str(store), expected="JSON or CSV", found=str(error)) from error
    return Corrections(corrections=tuple(found))


def _from_json(text: str, *, name: str) -> tuple[Correction, ...]:
    try:
        told = read_json(text)
    except json.JSONDecodeError as error:
        is_json = text.lstrip().startswith(("{", "["))
        found = f"JSON with a fault: {error}" if is_json else "neither"
        raise DataError(name, expected=_FILE, found=found) from error
    if not isinstance(told, dict) or told.get("format") != CORRECTIONS_FORMAT:
        raise DataError(name, expected=_FILE, found="JSON of another format")
    try:
        return Corrections(**told).corrections
    except ConfigError as error:
        raise DataError(name, expected=_FILE, found=str(error)) from error


def _from_csv(text: str, *, name: str) -> list[Correction]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = set(Correction.model_fields) - set(reader.fieldnames or ())
    if missing:
        columns = ", ".join(column for column in Correction.model_fields if column in missing)
        is_other = len(missing) == len(Correction.model_fields)
        found_instead = "CSV of something else" if is_other else f"CSV without the columns {columns}"
        raise DataError(name, expected=_FILE, found=found_instead)
    found = []
    for line, row in enumerate(reader, start=2):
        values: dict[str, Any] = {key: row[key] for key in Correction.model_fields}
        values |= {key: None for key in _NUMBERS if values[key] == ""}
        try:
            found.append(Correction(**values))
        except ConfigError as error:
            raise DataError(f"{name}, line {line}", expected="a correction", found=str(error)) from error
    return found
