from __future__ import annotations

import pytest
import torch

from uss_ray.training.world import World


def test_a_world_of_one_leaves_sums_as_they_are():
    values = torch.arange(3.0)
    World().sum([values])
    World().wait()
    assert values.tolist() == [0, 1, 2]
    assert World().is_first
    assert not World(1, 2).is_first


def test_sums_are_of_one_exchange_however_a_tensor_lies(monkeypatch: pytest.MonkeyPatch):
    exchanged = []

    def all_reduce(flat: torch.Tensor) -> None:
        exchanged.append(len(flat))
        flat *= torch.arange(1, len(flat) + 1)

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    rows, image = torch.ones(2, 3), torch.ones(2, 2, 1, 3).contiguous(memory_format=torch.channels_last)
    slant = torch.ones(2, 2).t()
    World(0, 2).sum([rows, image, slant])
    assert exchanged == [22]
    assert rows.flatten().tolist() == [1, 2, 3, 4, 5, 6]
    assert image.permute(0, 2, 3, 1).flatten().tolist() == list(range(7, 19))
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert slant.flatten().tolist() == [19, 20, 21, 22]
