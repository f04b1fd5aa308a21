"""Clips that are poison become rejects, in the tasks that have their rows."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from uss_ray.anchors.anchor import Reject
from uss_ray.errors import OutputError
from uss_ray.pipelines.mining.clips import NO_ROW
from uss_ray.pipelines.mining.outcome import MiningReport
from uss_ray.pipelines.mining.receipts import commit_failed, packet_name
from uss_ray.records import content_key
from uss_ray.store.store import Store


def quarantine_clips(table: pa.Table, *, output: Store, reason: str) -> pa.Table:
    """Commit rows of `clips.CLIP_SCHEMA` as failed; gives rows of `outcome.MINING_REPORT_SCHEMA`."""
    clips = (
        table.filter(pc.not_equal(table["row"], NO_ROW)).select(["row", "clip_id", "content_tag"]).to_pylist()
    )
    if not clips:
        return MiningReport().to_table()
    rows = {clip["row"]: content_key(clip["content_tag"]) for clip in clips}
    rejects = [Reject(clip_id=clip["clip_id"], reason="broken", found=reason) for clip in clips]
    try:
        commit_failed(rejects, output=output, name=packet_name(rows), rows=rows)
    except OutputError as error:
        return MiningReport(unfinished=len(clips), reason=error.reason).to_table()
    return MiningReport(failed=len(clips), failures=tuple(reason for _ in clips)).to_table()
