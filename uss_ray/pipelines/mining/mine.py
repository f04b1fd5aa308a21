"""The warm worker: loads the weights once, and does packets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import torch

from uss_ray.pipelines.mining.metrics import MiningMetrics
from uss_ray.pipelines.mining.miners import make_miner
from uss_ray.pipelines.mining.packets import packets_of
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.mining.work import Miner, PacketWork
from uss_ray.pipelines.runtime.run_state import is_stopping

MakeMiner = Callable[[MiningRequest], Miner]


class MinePackets:
    """The actor of the mining pipeline.

    Parameters
    ----------
    request : MiningRequest
    sample_rate : int
        Of the waveforms, in Hz.
    threads : int
        CPU threads of the networks; the last bit of a probability may depend on it.
    state : actor handle
        Of `runtime.run_state`.
    make_miner : callable
        `make_miner`, unless a test or benchmark takes another.
    """

    def __init__(
        self,
        request: MiningRequest,
        sample_rate: int,
        threads: int,
        state: Any,
        make_miner: MakeMiner = make_miner,
    ) -> None:
        torch.set_num_threads(threads)
        self._work = PacketWork(
            make_miner(request),
            output=request.output_store,
            sample_rate=sample_rate,
            is_stopping=partial(is_stopping, state),
        )
        self._metrics = MiningMetrics()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Give one row of `MINING_REPORT_SCHEMA` for each packet that comes in, in order."""
        for packet in packets_of(batch):
            report = self._work(packet)
            self._metrics.count(report)
            yield report.to_table()
