"""What is done below an output root: each packet's shard of anchors, and its receipt, which is written last.

The receipt is the metadata of the packet's file of rejects: which clips are done, also those without anchors, and the
facts of the shard. So a run that goes on reads a few hundred bytes a packet, and a shard without a receipt, which a
worker left that was killed in between, does not count. Clips that could not be read have receipts of their own, so that
a repetition can take them out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.anchors.shards import (
    ANCHOR_FOLDER,
    REJECT_FOLDER,
    ShardFacts,
    write_anchor_shard,
    write_reject_shard,
)
from uss_ray.errors import OutputError
from uss_ray.store.store import Store

FAILED_PREFIX = "failed-"
_KEY = b"uss_ray.receipt"
_SUFFIX = ".parquet"
_READERS = 32


class Receipt(BaseModel):
    """What a packet gave."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        description="Of the packet; begins with `FAILED_PREFIX` for clips that could not be read."
    )
    rows: tuple[int, ...] = Field(description="Clips, by their rows in the segment table.")
    rejects: dict[str, int] = Field(description="Rejects of each reason.")
    shard: ShardFacts | None = Field(default=None, description="None where there is no anchor.")

    @property
    def is_failed(self) -> bool:
        """Whether its clips could not be read."""
        return self.name.startswith(FAILED_PREFIX)


def packet_name(rows: Iterable[int]) -> str:
    """Name a packet by the clips in it, so that a worker that repeats it replaces it."""
    digest = hashlib.blake2b(np.array(sorted(rows), np.int64).tobytes(), digest_size=8)
    return digest.hexdigest()


def commit_packet(
    anchors: Sequence[Anchor], rejects: Sequence[Reject], *, output: Store, name: str, rows: Sequence[int]
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
    rows : sequence of int
        Clips that are done with this.

    Returns
    -------
    Receipt

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    shard = write_anchor_shard(anchors, shard_place(output, name)) if anchors else None
    return _write_receipt(rejects, output=output, name=name, rows=rows, shard=shard)


def commit_failed(rejects: Sequence[Reject], *, output: Store, name: str, rows: Sequence[int]) -> Receipt:
    """Write which clips could not be read; as `commit_packet`, under a name of their own."""
    return _write_receipt(rejects, output=output, name=FAILED_PREFIX + name, rows=rows, shard=None)


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


def _write_receipt(
    rejects: Sequence[Reject], *, output: Store, name: str, rows: Sequence[int], shard: ShardFacts | None
) -> Receipt:
    counts: Counter[str] = Counter(reject.reason for reject in rejects)
    receipt = Receipt(name=name, rows=tuple(sorted(rows)), rejects=dict(counts), shard=shard)
    content = receipt.model_dump_json().encode()
    write_reject_shard(rejects, receipt_place(output, name), facts={_KEY: content})
    return receipt


def _read_receipt(place: Store) -> Receipt:
    with place.open() as file:
        try:
            metadata = pq.read_schema(file).metadata or {}
            return Receipt.model_validate_json(metadata[_KEY])
        except (pa.ArrowException, KeyError, ValidationError) as error:
            found = (str(error).splitlines() or [type(error).__name__])[0]
            raise OutputError(str(place), expected="rejects with a receipt", found=found) from error
