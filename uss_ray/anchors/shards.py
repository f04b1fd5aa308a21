"""Shards of anchors: what lies where under an output root, and how a shard is written.

    anchors/<name>.parquet    anchors by class, each row group of one class alone
    rejects/<name>.parquet    what gave none, with its reason
    manifest.json             see `manifest`

A row group's statistics say its class, so a reader finds the anchors of one class from the footers alone.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.anchors.schema import ANCHOR_SCHEMA, AUDIO_COLUMN, anchor_table, reject_table
from uss_ray.errors import OutputError
from uss_ray.store.store import Location, Store

ANCHOR_FOLDER = "anchors"
REJECT_FOLDER = "rejects"
# About a megabyte of FLAC: a request's worth, and little enough to hold one group of every class in memory.
ROW_GROUP_ANCHORS = 16


class ShardFacts(BaseModel):
    """A shard as the manifest lists it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Relative to the output root.")
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str
    counts: dict[int, int] = Field(description="Anchors of each class index.")


def write_anchor_shard(rows: Iterable[Anchor], place: Location | Store) -> ShardFacts:
    """Write one shard; it is there completely or not at all.

    Parameters
    ----------
    rows : iterable of Anchor
        In any order, also none: the same anchors give the same bytes.
    place : Store, str or path
        Final name.

    Returns
    -------
    ShardFacts
        Named by the last two parts of `place`.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    anchors = sorted(rows, key=lambda anchor: (anchor.class_index, anchor.clip_id, anchor.start_sample))
    counts = Counter(anchor.class_index for anchor in anchors)
    parts = str(place).rstrip("/").split("/")
    with tempfile.TemporaryDirectory(prefix="uss_ray-anchors-") as folder:
        local = Path(folder) / "shard.parquet"
        try:
            _write_by_class(anchors, local)
            data = hashlib.sha256()
            with local.open("rb") as file:
                while block := file.read(1 << 20):
                    data.update(block)
        except OSError as error:
            raise OutputError(
                str(place), expected="room for a shard in the temporary folder", found=str(error)
            ) from error
        Store.of(place).put(local)
        return ShardFacts(
            name="/".join(parts[-2:]),
            rows=len(anchors),
            bytes=local.stat().st_size,
            sha256=data.hexdigest(),
            counts=dict(sorted(counts.items())),
        )


def write_reject_shard(
    rejects: Iterable[Reject], place: Location | Store, *, facts: Mapping[bytes, bytes] | None = None
) -> Counter[str]:
    """Write what was rejected; atomic as `write_anchor_shard`.

    Parameters
    ----------
    rejects : iterable of Reject
        Also none.
    place : Store, str or path
        Final name.
    facts : mapping of bytes to bytes, optional
        Kept in the metadata of the file's schema.

    Returns
    -------
    Counter of str
        Rejects of each reason.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    listed = list(rejects)
    table = reject_table(listed)
    if facts:
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **facts})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    Store.of(place).put(sink.getvalue().to_pybytes())
    return Counter(reject.reason for reject in listed)


def _write_by_class(anchors: list[Anchor], path: Path) -> None:
    # FLAC does not shrink further; every reader fetches the footer, so it holds the one statistic they need.
    names = ANCHOR_SCHEMA.names
    compression = {name: "none" if name == AUDIO_COLUMN else "zstd" for name in names}
    with pq.ParquetWriter(
        path,
        ANCHOR_SCHEMA,
        compression=compression,
        use_dictionary=["clip_id"],
        write_statistics=["class_index"],
    ) as writer:
        for _, group in groupby(anchors, key=lambda anchor: anchor.class_index):
            members = list(group)
            for start in range(0, len(members), ROW_GROUP_ANCHORS):
                writer.write_table(anchor_table(members[start : start + ROW_GROUP_ANCHORS]))
