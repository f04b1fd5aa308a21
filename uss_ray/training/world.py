"""The workers of a run as its loop sees them: which of them this one is, and sums over all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor


@dataclass(frozen=True)
class World:
    """Where a worker stands; of more than one, `torch.distributed` is initialised.

    Parameters
    ----------
    rank : int, default=0
    size : int, default=1
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this worker writes what the run leaves."""
        return self.rank == 0

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors of one type by their sums over all workers, in one exchange."""
        if self.size == 1:
            return
        listed = [_as_it_lies(tensor.detach()) for tensor in tensors]
        if not listed:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in listed])
        torch.distributed.all_reduce(flat)
        offset = 0
        for tensor in listed:
            count = tensor.numel()
            tensor.copy_(flat[offset : offset + count].view(tensor.shape))
            offset += count

    def wait(self) -> None:
        """Wait until all workers are here."""
        if self.size > 1:
            torch.distributed.barrier()


def _as_it_lies(tensor: Tensor) -> Tensor:
    """Order the axes of a tensor as its values follow each other in memory: to copy them then is to read on."""
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1)
    return tensor
