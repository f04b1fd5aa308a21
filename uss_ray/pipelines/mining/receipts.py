"""What is done below an output root: each packet's shard of anchors, and its receipt, which is written last.

The receipt is the metadata of the packet's file of rejects: which clips are done, also those without anchors, and the
facts of the shard. So a run that goes on reads a few hundred bytes a packet, and a shard without a receipt, which a
worker left that was killed in between, does not count. Clips that could not be read have receipts of their own, so that
a repetition can take them out.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.anchors.manifest import MANIFEST_NAME
from uss_ray.anchors.shards import (
    ANCHOR_FOLDER,
    REJECT_FOLDER,
    ShardFacts,
    write_anchor_shard,
    write_reject_shard,
)
from uss_ray.api.owned import Owned
from uss_ray.arrow import first_line, parquet_of
from uss_ray.errors import OutputError
from uss_ray.store.store import Store

FAILED_PREFIX = "failed-"
_KEY = b"uss_ray.receipt"
_SUFFIX = ".parquet"
_READERS = 32


OWNED: Final = Owned(
    {  # receipts first: without them a shard is nothing
        REJECT_FOLDER: re.compile(rf"({FAILED_PREFIX})?[0-9a-f]{{16}}\.parquet"),
        ANCHOR_FOLDER: re.compile(r"[0-9a-f]{16}\.parquet"),
    },
    files=(MANIFEST_NAME,),
)
"""What tells that clips are mined."""


class Receipt(BaseModel):
    """What a packet gave."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        description="Of the packet; begins with `FAILED_PREFIX` for clips that could not be read."
    )
    rows: tuple[int, ...] = Field(description="Clips, by their rows in the segment table.")
    rejects: dict[str, int] = Field(description="Rejects of each reason.")
    shard: ShardFacts | None = Field(default=None, description="None where there is no anchor.")
    contents: tuple[int, ...] = Field(
        default=(), description="What each of the clips held, as `content_key`; none in receipts of before."
    )
    made_at: float = Field(default=0.0, description="Seconds since 1970; 0 in receipts of before.")

    @property
    def is_failed(self) -> bool:
        """Whether its clips could not be read."""
        return self.name.startswith(FAILED_PREFIX)


def in_time(receipts: Iterable[Receipt]) -> list[Receipt]:
    """Put receipts into the order in which they count: of a clip that stands in several, the last does."""
    return sorted(receipts, key=lambda receipt: (receipt.made_at, not receipt.is_failed))


def packet_name(rows: Iterable[int]) -> str:
    """Name a packet by the clips in it, so that a worker that repeats it replaces it."""
    digest = hashlib.blake2b(np.array(sorted(rows), np.int64).tobytes(), digest_size=8)
    return digest.hexdigest()


def commit_packet(
    anchors: Sequence[Anchor],
    rejects: Sequence[Reject],
    *,
    output: Store,
    name: str,
    rows: Mapping[int, int],
    made_at: float | None = None,
) -> Receipt:
    """Write what clips gave: the shard of anchors first, the rejects with the receipt last.

    Parameters
    ----------
    anchors : sequence of Anchor
    rejects : sequence of Reject
    output : Store
        Output root.
    name : str
        From `packet_name`.
    rows : mapping of int to int
        Clips that are done with this, and what each of them held, as `content_key`.
    made_at : float, optional
        When, in seconds since 1970; by default now.

    Returns
    -------
    Receipt

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    shard = write_anchor_shard(anchors, shard_place(output, name)) if anchors else None
    receipt = _receipt(rejects, name=name, rows=rows, shard=shard, made_at=made_at)
    return _written(receipt, rejects, output)


def commit_failed(
    rejects: Sequence[Reject],
    *,
    output: Store,
    name: str,
    rows: Mapping[int, int],
    made_at: float | None = None,
) -> Receipt:
    """Write which clips could not be read; as `commit_packet`, under a name of their own."""
    receipt = _receipt(rejects, name=FAILED_PREFIX + name, rows=rows, shard=None, made_at=made_at)
    return _written(receipt, rejects, output)


def read_receipts(output: Store) -> Iterator[Receipt]:
    """Read all receipts below an output root, in the order of their names; there may be none.

    Raises
    ------
    OutputError
        If one is there and cannot be read.
    """
    folder = output / REJECT_FOLDER
    if not folder.exists():
        return
    files = [file for file in folder.list() if file.name.endswith(_SUFFIX)]
    with ThreadPoolExecutor(_READERS) as pool:
        yield from pool.map(_read_receipt, files)


def shard_place(output: Store, name: str) -> Store:
    """Say where the anchors of a packet are."""
    return output / ANCHOR_FOLDER / f"{name}{_SUFFIX}"


def receipt_place(output: Store, name: str) -> Store:
    """Say where the rejects and the receipt of a packet are."""
    return output / REJECT_FOLDER / f"{name}{_SUFFIX}"


def packet_of(shard: Store) -> str:
    """Name the packet that a shard belongs to."""
    return shard.name.removesuffix(_SUFFIX)


def _receipt(
    rejects: Sequence[Reject],
    *,
    name: str,
    rows: Mapping[int, int],
    shard: ShardFacts | None,
    made_at: float | None,
) -> Receipt:
    counts: Counter[str] = Counter(reject.reason for reject in rejects)
    ordered = tuple(sorted(rows))
    return Receipt(
        name=name,
        rows=ordered,
        rejects=dict(counts),
        shard=shard,
        contents=tuple(rows[row] for row in ordered) if any(rows.values()) else (),
        made_at=time.time() if made_at is None else made_at,
    )


def _written(receipt: Receipt, rejects: Sequence[Reject], output: Store) -> Receipt:
    content = receipt.model_dump_json().encode()
    write_reject_shard(rejects, receipt_place(output, receipt.name), facts={_KEY: content})
    return receipt


def _read_receipt(place: Store) -> Receipt:
    expected = "rejects with a receipt"
    try:
        with place.open() as file, parquet_of(str(place), expected=expected, error_type=OutputError):
            metadata = pq.read_schema(file).metadata or {}
            return Receipt.model_validate_json(metadata[_KEY])
    except ValidationError as error:
        raise OutputError(str(place), expected=expected, found=first_line(error)) from error
