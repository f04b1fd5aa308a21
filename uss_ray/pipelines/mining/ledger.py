"""Which clips are done, as one bit of each row of the segment table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uss_ray.errors import OutputError
from uss_ray.pipelines.mining.receipts import Receipt, in_time, read_receipts
from uss_ray.store.store import Store


@dataclass(frozen=True, eq=False)
class MiningLedger:
    """What is done.

    Attributes
    ----------
    mined, failed : ndarray of shape (clips,), dtype=bool
        By what was told of a clip last: one that failed first and was mined later counts as mined.
    contents : ndarray of shape (clips,), dtype=int64
        What it held then, as `content_key`; 0 where nobody knows.
    """

    mined: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    contents: NDArray[np.int64]

    def wanted(self, *, retry_failed: bool) -> NDArray[np.bool_]:
        """Tell of each clip whether it is still to do; a repetition is about those that failed."""
        return self.failed if retry_failed else ~(self.mined | self.failed)

    @property
    def known(self) -> int:
        """Clips that are mined or have failed."""
        return int((self.mined | self.failed).sum())


def read_ledger(output: Store, *, clips: int) -> MiningLedger:
    """Read the receipts for what is done.

    Parameters
    ----------
    output : Store
        Output root; there may be nothing yet.
    clips : int
        Rows of the segment table.

    Returns
    -------
    MiningLedger

    Raises
    ------
    OutputError
        If a receipt cannot be read, or tells of clips that the table has not.
    """
    return ledger_of(read_receipts(output), output=output, clips=clips)


def ledger_of(receipts: Iterable[Receipt], *, output: Store, clips: int) -> MiningLedger:
    """Sum up receipts; as `read_ledger`, for who has read them."""
    mined, failed = np.zeros(clips, np.bool_), np.zeros(clips, np.bool_)
    contents = np.zeros(clips, np.int64)
    for receipt in in_time(receipts):
        rows = np.array(receipt.rows, np.int64)
        if len(rows) and rows.max() >= clips:
            raise OutputError(
                f"{output} {receipt.name}",
                expected=f"clips of a table of {clips}",
                found=f"clip {rows.max()}",
            )
        mined[rows], failed[rows] = not receipt.is_failed, receipt.is_failed
        contents[rows] = receipt.contents or 0
    return MiningLedger(mined, failed, contents)
