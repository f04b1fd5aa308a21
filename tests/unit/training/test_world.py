from __future__ import annotations

import torch

from uss_ray.training.world import World


def test_a_world_of_one_leaves_sums_as_they_are():
    values = torch.arange(3.0)
    World().sum([values])
    World().wait()
    assert values.tolist() == [0, 1, 2]
    assert World().is_first
    assert not World(1, 2).is_first
