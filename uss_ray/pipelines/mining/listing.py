"""Which clips are still to be mined, streamed from their containers by Ray; a clip that lies in two is mined once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
from numpy.typing import NDArray

from uss_ray.datasets.clip_audio import ClipReader
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.pipelines.mining.clips import (
    CLIP_SCHEMA,
    NO_ROW,
    Chosen,
    Rows,
    clip_tables,
    container_tags,
    excerpt_id,
    selected_clips,
)
from uss_ray.pipelines.mining.ledger import MiningLedger
from uss_ray.pipelines.mining.request import Changed
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.run_state import Earlier, Named, pinned
from uss_ray.pipelines.runtime.stages import Pass
from uss_ray.records import content_key
from uss_ray.store.store import Store

_EXAMPLES = 100


class ClipClaims:
    """Which reader has a clip: the first that asked, in every attempt it makes."""

    def __init__(self, clips: int) -> None:
        self._owners = np.full(clips, -1, np.int32)

    def claim(self, rows: Rows, reader: int) -> NDArray[np.bool_]:
        """Tell of each row whether it is this reader's."""
        free = rows[self._owners[rows] < 0]
        self._owners[free] = reader
        return np.asarray(self._owners[rows] == reader)


@dataclass(frozen=True, kw_only=True)
class ClipListing:
    """What is to be streamed, as references into Ray's store: a machine holds one copy for all that read there.

    Parameters
    ----------
    readers : tuple of ClipReader
    table : object reference
        To the `SegmentTable`.
    clips : int
        Its rows.
    options : JobOptions
        Which of the clips, and whether those that failed.
    changed : {"redo", "keep", "fail"}, default="redo"
        What becomes of clips that hold something else now.
    """

    readers: tuple[ClipReader, ...]
    table: Any
    clips: int
    options: JobOptions = field(default_factory=JobOptions)
    changed: Changed = "redo"

    def undone(self, run: Pass) -> ray.data.Dataset:
        """Stream what is not done yet, as rows of `CLIP_SCHEMA`."""
        claims = pinned(ClipClaims).remote(self.clips) if len(self.readers) > 1 else None
        tags = container_tags(self.readers)
        readers = [
            _ClipTables(reader, number=number, listing=self, run=run, claims=claims, tags=tags)
            for number, reader in enumerate(self.readers)
        ]
        return run.read(readers, schema=CLIP_SCHEMA, name="Clips")


class _ClipTables:
    def __init__(
        self,
        reader: ClipReader,
        *,
        number: int,
        listing: ClipListing,
        run: Pass,
        claims: Any,
        tags: Mapping[Store, str | None],
    ) -> None:
        self._reader = reader
        self._number = number
        self._table, self._options = listing.table, listing.options
        self._ledger, self._state = run.ledger, run.state
        self._claims = claims
        self._changed = listing.changed
        self._tag = tags.get(reader.place)
        self._contents = np.array([content_key(tag) for tag in tags.values()], np.int64)

    def __call__(self) -> Iterator[pa.Table]:
        table: SegmentTable = ray.get(self._table)
        ledger: MiningLedger = ray.get(self._ledger)
        changed: list[int] = []
        chosen = Chosen.of(
            ledger,
            among=selected_clips(self._options, clips=len(table)),
            retry_failed=self._options.retry_failed,
            changed=self._changed,
            tell=changed.append,
        ).in_container(self._contents)
        self._state.begin_earlier.remote(self._number)
        for clips in clip_tables(
            self._reader, table=table, chosen=chosen, claim=self._claim, content_tag=self._tag
        ):
            found = int((clips["row"].to_numpy() != NO_ROW).sum())
            self._tell(changed, table=table, ledger=ledger)
            ray.get(self._state.add_found.remote(found))
            yield clips
        self._tell(changed, table=table, ledger=ledger)

    def _tell(self, changed: list[int], *, table: SegmentTable, ledger: MiningLedger) -> None:
        """Let the driver hear of clips that were done and hold something else now; those mined are no longer so.

        A clip that lies in two containers has changed once.
        """
        if changed:
            rows = np.array(changed, np.int32)
            rows = rows[self._claim(rows)]
            names = Named(len(rows), [excerpt_id(table, row) for row in rows[:_EXAMPLES].tolist()])
            skipped = -int(ledger.mined[rows].sum())
            self._state.add_earlier.remote(self._number, Earlier(skipped=skipped, changed=names))
            changed.clear()

    def _claim(self, rows: Rows) -> NDArray[np.bool_]:
        if self._claims is None:
            return np.ones(len(rows), np.bool_)
        claimed: NDArray[np.bool_] = ray.get(self._claims.claim.remote(rows, self._number))
        return claimed
