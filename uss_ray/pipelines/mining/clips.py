"""Clips that are still to be mined, as tables that stream from the containers into Ray Data.

A row is a line of the segment CSVs with its audio: encoded, as samples, or as the file to open. What a table lacks to
be complete in itself is looked up here, so that nobody further down holds the segment table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio, ClipReader
from uss_ray.datasets.labelled_clips import Holds, LabelledClip, join_clips
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.datasets.segments import ClipRecord
from uss_ray.pipelines.runtime.options import JobOptions

CLIP_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int32(), False),
        pa.field("clip_id", pa.string(), False),
        pa.field("start_seconds", pa.float64(), False),
        pa.field("end_seconds", pa.float64(), False),
        pa.field("class_indexes", pa.list_(pa.int16()), False),
        pa.field("location", pa.string(), False),
        pa.field("holds", pa.string(), False),
        pa.field("data", pa.large_binary()),
        pa.field("samples", pa.large_binary()),
        pa.field("sample_rate", pa.int32()),
        pa.field("broken", pa.string()),
    ]
)
"""`row` is that of the segment table; `NO_ROW` is a container that is `broken` (why), where only `location` counts."""

NO_ROW = -1
_ROWS_PER_TABLE = 64
_BYTES_PER_TABLE = 4 << 20

Rows = NDArray[np.int32]
Claim = Callable[[Rows], NDArray[np.bool_]]


def selected_clips(options: JobOptions, *, clips: int) -> NDArray[np.bool_]:
    """Tell of each row of the segment table whether a run is about it, (clips,); a limit goes by the order of ids."""
    rows = np.arange(clips)
    selected = np.ones(clips, np.bool_) if options.limit is None else rows < options.limit
    if options.shard is not None:
        part, parts = options.shard
        selected &= rows % parts == part - 1
    return selected


def excerpt_id(table: SegmentTable, row: int) -> str:
    """Name a clip for its anchors: its id, and its start where a recording is labelled in several places."""
    clip_id = table.clip_id(row)
    if len(table.rows_of(clip_id)) == 1:
        return clip_id
    return f"{clip_id}_{table.start_seconds[row]:.3f}"


def clip_tables(
    reader: ClipReader, *, table: SegmentTable, wanted: NDArray[np.bool_], claim: Claim
) -> Iterator[pa.Table]:
    """Read the wanted clips of a container.

    Parameters
    ----------
    reader : ClipReader
    table : SegmentTable
    wanted : ndarray of shape (clips,), dtype=bool
    claim : callable
        Tells of each of some rows whether this reader may have it: a clip that lies in two containers is mined once.

    Yields
    ------
    pyarrow.Table
        Of `CLIP_SCHEMA`, small.
    """
    open_rows = wanted.copy()
    gathered: list[dict[str, Any]] = []
    held = 0
    for item in join_clips(reader, table=table, wanted=lambda row: bool(open_rows[row])):
        if isinstance(item, BrokenContainer):
            gathered.append(_broken_row(item))
            continue
        if not open_rows[item.row]:
            continue  # the container holds it a second time
        open_rows[item.row] = False
        gathered.append(_clip_row(item, table))
        held += len(gathered[-1]["data"] or b"") + len(gathered[-1]["samples"] or b"")
        if len(gathered) >= _ROWS_PER_TABLE or held >= _BYTES_PER_TABLE:
            yield _claimed(gathered, claim)
            gathered, held = [], 0
    if gathered:
        yield _claimed(gathered, claim)


def clips_of(table: pa.Table) -> Iterator[LabelledClip | BrokenContainer]:
    """Read rows of `CLIP_SCHEMA`; a clip's record has the name that its anchors get."""
    for values in table.to_pylist():
        if values["row"] == NO_ROW:
            yield BrokenContainer(values["location"], values["broken"])
            continue
        samples = values["samples"]
        yield LabelledClip(
            ClipRecord(
                values["clip_id"],
                values["start_seconds"],
                values["end_seconds"],
                tuple(values["class_indexes"]),
            ),
            ClipAudio(
                values["clip_id"],
                values["location"],
                data=values["data"],
                samples=None if samples is None else np.frombuffer(samples, np.int16),
                sample_rate=values["sample_rate"],
            ),
            cast("Holds", values["holds"]),
            values["row"],
        )


def _claimed(rows: list[dict[str, Any]], claim: Claim) -> pa.Table:
    numbers = np.array([row["row"] for row in rows], np.int32)
    mine = numbers == NO_ROW
    mine[~mine] = claim(numbers[~mine])
    kept = [row for row, is_mine in zip(rows, mine, strict=True) if is_mine]
    return pa.Table.from_pylist(kept, schema=CLIP_SCHEMA)


def _clip_row(clip: LabelledClip, table: SegmentTable) -> dict[str, Any]:
    samples = clip.audio.samples
    return {
        "row": clip.row,
        "clip_id": excerpt_id(table, clip.row),
        "start_seconds": clip.record.start_seconds,
        "end_seconds": clip.record.end_seconds,
        "class_indexes": clip.record.class_indexes,
        "location": clip.audio.location,
        "holds": clip.holds,
        "data": clip.audio.data,
        "samples": None if samples is None else samples.tobytes(),
        "sample_rate": clip.audio.sample_rate,
        "broken": None,
    }


def _broken_row(container: BrokenContainer) -> dict[str, Any]:
    return {
        "row": NO_ROW,
        "clip_id": "",
        "start_seconds": 0.0,
        "end_seconds": 0.0,
        "class_indexes": (),
        "location": container.location,
        "holds": "either",
        "data": None,
        "samples": None,
        "sample_rate": None,
        "broken": container.reason,
    }
