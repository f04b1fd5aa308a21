"""Results of jobs that the service keeps: of each recording one, with the same calls as what is kept of a call.

Its id has the job, the part of the index that holds its rows, and the recording's key, so it is found at once however
large the archive. A job of another tenant lies elsewhere; its results are not there.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from uss_ray.errors import DataError, OutputError
from uss_ray.records import recording_key
from uss_ray.results.index.table import read_index_part
from uss_ray.results.layout import index_path, recording_folder
from uss_ray.service.backend import TOLD, told_row
from uss_ray.service.jobs import JobTable
from uss_ray.service.result import Part, Result, gone, opened
from uss_ray.store.store import Store

_ID = re.compile("([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{16})")


class JobResults:
    """The results of the jobs of a table.

    Parameters
    ----------
    table : JobTable
    """

    def __init__(self, table: JobTable) -> None:
        self._table = table

    def find(self, tenant: str, result_id: str) -> Result:
        """Give the result of a recording.

        Raises
        ------
        Refusal
            If there is none of that id, or it is another tenant's.
        OutputError
            If the store does not give it.
        """
        match = _ID.fullmatch(result_id)
        if match is None:
            raise gone(result_id)
        job_id, part, key = match.groups()
        root = self._table.results(tenant, job_id)
        place = root / index_path(part)
        with opened(place, name=result_id) as file:
            content = file.read()
        try:
            table = read_index_part(io.BytesIO(content), name=str(place))
        except DataError as error:
            raise OutputError(error.item, expected=error.expected, found=error.found) from error
        names = table["recording_id"].unique().to_pylist()
        name = next((name for name in names if _key(name) == key), None)
        if name is None:
            raise gone(result_id)
        rows = table.filter(pc.equal(table["recording_id"], name))
        return _result(rows.to_pylist(), name=name, root=root, result_id=result_id)


def is_of_job(result_id: str) -> bool:
    """Tell whether an id may be that of a recording of a job."""
    return _ID.fullmatch(result_id) is not None


def result_id_of(job_id: str, part: str, recording_id: str) -> str:
    """Name the result of a recording.

    Parameters
    ----------
    job_id : str
    part : str
        Which part of the index holds its rows.
    recording_id : str
    """
    return f"{job_id}-{part}-{_key(recording_id)}"


def _key(recording_id: str) -> str:
    return f"{recording_key(recording_id):016x}"


def _result(rows: Sequence[dict[str, Any]], *, name: str, root: Store, result_id: str) -> Result:
    folder = recording_folder(name)
    first = rows[0]
    told = [told_row({column: row[column] for column in TOLD}, folder=folder) for row in rows]
    index = {
        **{fact: first[fact] for fact in ("sample_rate", "channels", "frames")},
        "name": name,
        "recording": None,
        "run": {fact: first[fact] for fact in ("run_id", "weights_name", "weights_sha256")},
        "rows": told,
        "probabilities": {},
    }
    return Result(
        result_id=result_id, index=index, parts=_parts(told, root / folder), recording=_summands(told)
    )


def _parts(rows: Sequence[Mapping[str, Any]], folder: Store) -> dict[str, Part]:
    return {
        named["stem_uri"]: Part(
            place=folder / named["stem_uri"],
            size=named["stem_bytes"],
            tag=named["stem_sha256"],
            start_frame=named.get("stem_start_frame") or 0,
        )
        for row in rows
        for named in (row, *row["active_spans"])
        if named["stem_uri"] is not None
    }


def _summands(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Name the stems that add up to the recording: those of the first group that has a residual."""
    group = next((_group(row) for row in rows if row["kind"] == "residual"), "none")
    stems = (row["stem_uri"] for row in rows if _group(row) == group)
    return tuple(dict.fromkeys(stem for stem in stems if stem is not None))


def _group(row: Mapping[str, Any]) -> int | None:
    level: int | None = row["level"]
    return 0 if row["kind"] == "event" else level
