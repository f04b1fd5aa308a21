"""Clips that are poison become rejects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from uss_ray.anchors.anchor import Reject
from uss_ray.errors import OutputError
from uss_ray.pipelines.mining.clips import NO_ROW
from uss_ray.pipelines.mining.outcome import MiningReport
from uss_ray.pipelines.mining.receipts import commit_failed, packet_name
from uss_ray.records import content_key
from uss_ray.store.store import Store

CLIP_COLUMNS = ("row", "clip_id", "content_tag")
"""Of `clips.CLIP_SCHEMA`: what a clip is known by."""


def without_containers(table: pa.Table) -> pa.Table:
    """Leave out the rows of broken containers, which are no clips."""
    return table.filter(pc.not_equal(table["row"], NO_ROW))


def quarantine_clips(clips: Sequence[Mapping[str, Any]], *, output: Store, reason: str) -> MiningReport:
    """Commit clips as failed, each a row with `CLIP_COLUMNS`."""
    if not clips:
        return MiningReport()
    rows = {clip["row"]: content_key(clip["content_tag"]) for clip in clips}
    rejects = [Reject(clip_id=clip["clip_id"], reason="broken", found=reason) for clip in clips]
    try:
        commit_failed(rejects, output=output, name=packet_name(rows), rows=rows)
    except OutputError as error:
        return MiningReport(unfinished=len(clips), reason=error.reason)
    return MiningReport(failed=len(clips), failures=tuple(reason for _ in clips))
