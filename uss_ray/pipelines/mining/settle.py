"""The end of a run: clips without audio become rejects, what does not count goes, the rest gets a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from uss_ray.anchors.anchor import Reject
from uss_ray.anchors.manifest import MiningManifest, write_manifest
from uss_ray.anchors.schema import read_anchors
from uss_ray.anchors.shards import ANCHOR_FOLDER
from uss_ray.arrow import parquet_of, table_of
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.errors import OutputError
from uss_ray.pipelines.mining.clips import excerpt_id
from uss_ray.pipelines.mining.ledger import ledger_of, read_ledger
from uss_ray.pipelines.mining.receipts import (
    OWNED,
    Receipt,
    commit_failed,
    commit_packet,
    in_time,
    packet_name,
    packet_of,
    read_receipts,
    receipt_place,
    shard_place,
)
from uss_ray.store.store import Store

_ROWS_PER_FILE = 50_000


@dataclass(frozen=True, kw_only=True)
class MiningTotals:
    """What lies below an output root, of all runs together.

    Parameters
    ----------
    clips, failed : int
        Clips that were looked at, and those of them that could not be read.
    anchors : int
    classes : int
        With at least one anchor.
    shards, shard_bytes : int
    rejects : dict of str to int
        Rejects of each reason.
    """

    clips: int
    failed: int
    anchors: int
    classes: int
    shards: int
    shard_bytes: int
    rejects: dict[str, int]


def note_missing(output: Store, *, table: SegmentTable, chosen: NDArray[np.bool_]) -> int:
    """Make rejects of the clips that no container held; call it when all that was found is done.

    Parameters
    ----------
    output : Store
        Output root.
    table : SegmentTable
    chosen : ndarray of shape (clips,), dtype=bool
        Which clips the run is about.

    Returns
    -------
    int
        How many they are.
    """
    ledger = read_ledger(output, clips=len(table))
    rows = np.flatnonzero(chosen & ledger.wanted(retry_failed=False))
    for first in range(0, len(rows), _ROWS_PER_FILE):
        part = rows[first : first + _ROWS_PER_FILE].tolist()
        rejects = [
            Reject(clip_id=excerpt_id(table, row), reason="missing", found="no audio of that name")
            for row in part
        ]
        commit_failed(rejects, output=output, name=packet_name(part), rows=dict.fromkeys(part, 0))
    return len(rows)


def settle(
    output: Store, *, table: SegmentTable, manifest_of: Callable[..., MiningManifest], is_alone: bool
) -> MiningTotals:
    """Bring an output root into order and write its manifest.

    Parameters
    ----------
    output : Store
        Output root.
    table : SegmentTable
    manifest_of : callable
        `MiningManifest.of`, with all but shards, rejects and clips.
    is_alone : bool
        Whether no other job may be writing below the root; else shards without a receipt are left, for they may be
        another's that is about to get one.

    Returns
    -------
    MiningTotals

    Raises
    ------
    OutputError
        If something cannot be read or written.
    """
    receipts = list(read_receipts(output))
    ledger = ledger_of(receipts, output=output, clips=len(table))
    taken = np.zeros(len(table), np.bool_)
    kept: list[Receipt] = []
    partly: list[tuple[Receipt, dict[int, int]]] = []
    for receipt in reversed(in_time(receipts)):
        rows = np.array(receipt.rows, np.int64)
        stale = taken[rows]
        taken[rows[~stale]] = True
        if not stale.any():
            kept.append(receipt)
        elif stale.all():
            _remove(receipt, output)
        else:
            contents = receipt.contents or (0,) * len(rows)
            told = zip(receipt.rows, contents, stale, strict=True)
            partly.append((receipt, {row: content for row, content, is_stale in told if not is_stale}))
    # Only now: what is left of a packet may have the name of one that is gone.
    kept += [_reduce(receipt, rows=stays, output=output, table=table) for receipt, stays in partly]
    if is_alone:
        _remove_orphans(output, names={receipt.name for receipt in kept})
    shards = [receipt.shard for receipt in kept if receipt.shard is not None]
    rejects: Counter[str] = Counter()
    for receipt in kept:
        rejects.update(receipt.rejects)
    manifest = manifest_of(shards, rejects=dict(rejects), clips=int(taken.sum()))
    write_manifest(manifest, output)
    return MiningTotals(
        clips=manifest.clips,
        failed=int(ledger.failed.sum()),
        anchors=manifest.anchors,
        classes=len(manifest.counts),
        shards=len(shards),
        shard_bytes=sum(shard.bytes for shard in shards),
        rejects=manifest.rejects,
    )


def _reduce(receipt: Receipt, *, rows: Mapping[int, int], output: Store, table: SegmentTable) -> Receipt:
    """Take clips out of a packet of which a later one tells; rows, with what they held, are what stays."""
    names = {excerpt_id(table, row) for row in rows}
    with _read(receipt_place(output, receipt.name), expected="rejects with a receipt") as told:
        rejects = [Reject(**values) for values in told.to_pylist() if values["clip_id"] in names]
    name, made_at = packet_name(rows), receipt.made_at
    if receipt.is_failed:
        reduced = commit_failed(rejects, output=output, name=name, rows=rows, made_at=made_at)
    else:
        anchors = []
        if receipt.shard is not None:
            with _read(shard_place(output, receipt.name), expected="a shard of anchors") as table_of_shard:
                anchors = [item for item in read_anchors(table_of_shard) if item.clip_id in names]
        reduced = commit_packet(anchors, rejects, output=output, name=name, rows=rows, made_at=made_at)
    _remove(receipt, output)
    return reduced


def _remove(receipt: Receipt, output: Store) -> None:
    receipt_place(output, receipt.name).remove()
    if receipt.shard is not None:
        shard_place(output, receipt.name).remove()


def _remove_orphans(output: Store, *, names: set[str]) -> None:
    folder = output / ANCHOR_FOLDER
    if not folder.exists():
        return
    for shard in list(folder.list()):
        if OWNED.has(shard.relative_to(output)) and packet_of(shard) not in names:
            shard.remove()


@contextmanager
def _read(place: Store, *, expected: str) -> Iterator[pa.Table]:
    with parquet_of(str(place), expected=expected, error_type=OutputError):
        yield table_of(place.read(), str(place), expected=expected, error_type=OutputError)
