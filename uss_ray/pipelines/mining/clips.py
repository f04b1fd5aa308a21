"""Clips that are still to be mined, as tables that stream from the containers into Ray Data.

A row is a line of the segment CSVs with its audio: encoded, as samples, or as the file to open. What a table lacks to
be complete in itself is looked up here, so that nobody further down holds the segment table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from uss_ray.anchors.anchor import excerpt_name
from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio, ClipReader
from uss_ray.datasets.containers.files import FilesReader
from uss_ray.datasets.labelled_clips import Holds, LabelledClip, join_clips
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.datasets.segments import ClipRecord
from uss_ray.pipelines.mining.ledger import MiningLedger
from uss_ray.pipelines.mining.request import Changed
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.records import content_key
from uss_ray.store.store import Store

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
        pa.field("content_tag", pa.string()),
        pa.field("broken", pa.string()),
    ]
)
"""`row` is that of the segment table; `NO_ROW` is a container that is `broken` (why), where only `location` counts."""

NO_ROW = -1
_ROWS_PER_TABLE = 64
_BYTES_PER_TABLE = 4 << 20
_ASKED_AT_ONCE = 16
_NAMED_SECONDS = 0.0011  # an excerpt is named to the millisecond

Rows = NDArray[np.int32]
Claim = Callable[[Rows], NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """Which clips a listing is to give.

    Parameters
    ----------
    undone : ndarray of shape (clips,), dtype=bool
        Still to do.
    contents : ndarray of shape (clips,), dtype=int64
        What the others held when they were done, as `content_key`; 0 where nobody knows, or is to look. One that holds
        something else now comes as well.
    tell : callable, optional
        Told of the row of a clip that has changed; says whether it comes.
    """

    undone: NDArray[np.bool_]
    contents: NDArray[np.int64]
    tell: Callable[[int], bool] = lambda row: True  # noqa: ARG005

    @classmethod
    def of(
        cls,
        ledger: MiningLedger,
        *,
        among: NDArray[np.bool_],
        retry_failed: bool,
        changed: Changed,
        tell: Callable[[int], None],
    ) -> Chosen:
        """Choose by what is done, from those that a run is about."""
        undone = among & ledger.wanted(retry_failed=retry_failed)
        is_looked_at = among & ~undone & (not retry_failed and changed != "keep")

        def say(row: int) -> bool:
            tell(row)
            return changed == "redo"

        return cls(undone=undone, contents=np.where(is_looked_at, ledger.contents, 0), tell=say)

    def in_container(self, current: NDArray[np.int64]) -> Chosen:
        """Leave those alone whose container is as it was; `current` are the keys of all containers."""
        contents = np.where(np.isin(self.contents, current), 0, self.contents)
        return replace(self, contents=contents)


def selected_clips(options: JobOptions, *, clips: int) -> NDArray[np.bool_]:
    """Tell of each row of the segment table whether a run is about it, (clips,); a limit goes by the order of ids."""
    rows = np.arange(clips)
    selected = np.ones(clips, np.bool_) if options.limit is None else rows < options.limit
    if options.shard is not None:
        part, parts = options.shard
        selected &= rows % parts == part - 1
    return selected


def container_tags(readers: Sequence[ClipReader]) -> dict[Store, str | None]:
    """Ask what each container holds now, see `Store.content_tag`; of files it is told as they are listed."""
    places = list(dict.fromkeys(reader.place for reader in readers if not isinstance(reader, FilesReader)))
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        return dict(zip(places, pool.map(Store.content_tag, places), strict=True))


def excerpt_id(table: SegmentTable, row: int) -> str:
    """Name a clip for its anchors: its id, and its start where a recording is labelled in several places."""
    clip_id = table.clip_id(row)
    if len(table.rows_of(clip_id)) == 1:
        return clip_id
    return excerpt_name(clip_id, float(table.start_seconds[row]))


def shared_names(table: SegmentTable) -> list[str]:
    """List the names that several clips of a table would give their anchors: excerpts that begin together."""
    starts, ids = table.start_seconds, table.clip_ids
    near = np.flatnonzero((ids[1:] == ids[:-1]) & (np.diff(starts) < _NAMED_SECONDS))
    names = [excerpt_id(table, row) for row in near.tolist()]
    return [
        name for row, name in zip(near.tolist(), names, strict=True) if name == excerpt_id(table, row + 1)
    ]


def clip_tables(
    reader: ClipReader, *, table: SegmentTable, chosen: Chosen, claim: Claim, content_tag: str | None = None
) -> Iterator[pa.Table]:
    """Read the chosen clips of a container.

    Parameters
    ----------
    reader : ClipReader
    table : SegmentTable
    chosen : Chosen
    claim : callable
        Tells of each of some rows whether this reader may have it: a clip that lies in two containers is mined once.
    content_tag : str, optional
        Of the container, for clips that have none of their own.

    Yields
    ------
    pyarrow.Table
        Of `CLIP_SCHEMA`, small.
    """
    open_rows = chosen.undone | (chosen.contents != 0)
    gathered: list[dict[str, Any]] = []
    held = 0
    for item in join_clips(reader, table=table, wanted=lambda row: bool(open_rows[row])):
        if isinstance(item, BrokenContainer):
            gathered.append(_broken_row(item))
            continue
        if not open_rows[item.row]:
            continue  # the container holds it a second time
        open_rows[item.row] = False
        tag = item.audio.content_tag or content_tag
        if not chosen.undone[item.row]:
            is_changed = content_key(tag) not in (0, chosen.contents[item.row])
            if not is_changed or not chosen.tell(item.row):
                continue
        gathered.append(_clip_row(item, table, tag))
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
                content_tag=values["content_tag"],
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


def _clip_row(clip: LabelledClip, table: SegmentTable, content_tag: str | None) -> dict[str, Any]:
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
        "content_tag": content_tag,
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
        "content_tag": None,
        "broken": container.reason,
    }
