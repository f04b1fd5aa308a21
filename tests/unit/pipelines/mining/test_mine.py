from __future__ import annotations

import numpy as np
import pytest
import ray
import torch

from tests.unit.pipelines.metrics_seen import watch_counters
from tests.unit.pipelines.mining.made import anchor
from uss_ray.pipelines.mining import mine
from uss_ray.pipelines.mining.mine import MinePackets
from uss_ray.pipelines.mining.outcome import MiningReport
from uss_ray.pipelines.mining.packets import PacketClip, packet_table
from uss_ray.pipelines.mining.request import MiningRequest

REQUEST = MiningRequest(segments=("a.csv",), audio="audio", output="memory://mine-tests/out", weights="w")


class FakeMiner:
    def mine(self, clips):
        return [anchor(int(clip.clip_id)) for clip in clips]


def table(*rows: int):
    clips = [PacketClip(row=row, clip_id=str(row), class_indexes=(row,), status="sound") for row in rows]
    return packet_table([(clip, np.ones(500, np.float32)) for clip in clips])


def test_a_worker_gives_a_report_for_each_packet_and_counts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch_counters(monkeypatch)
    monkeypatch.setattr(mine, "is_stopping", lambda state: state == "stopping")
    threads, asked = torch.get_num_threads(), []

    def make_miner(request: MiningRequest) -> FakeMiner:
        asked.append(request)
        return FakeMiner()

    was_initialized = ray.is_initialized()

    try:
        worker = MinePackets(REQUEST, 1000, 1, "running", make_miner)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    [report] = [MiningReport.from_record(row) for out in worker(table(0, 1)) for row in out.to_pylist()]
    assert (report.mined, report.anchors, report.audio_seconds) == (2, 2, 1.0)
    assert seen["uss_ray_anchors_total"] == {("mining",): 2}
    assert asked == [REQUEST], "the weights are loaded once"
    assert ray.is_initialized() == was_initialized, "a worker starts no Ray"
