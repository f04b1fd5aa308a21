from __future__ import annotations

import torch

from uss_ray.training.losses import l1_relative


def test_quiet_items_count_as_loud_ones() -> None:
    target, estimate = torch.randn(2, 1, 50), torch.randn(2, 1, 50)
    mixture = target + torch.randn(2, 1, 50)
    loud = l1_relative(estimate[:1], target[:1], mixture[:1])
    quiet = l1_relative(0.01 * estimate[:1], 0.01 * target[:1], 0.01 * mixture[:1])
    assert torch.allclose(loud, quiet)
    both = l1_relative(estimate, target, mixture)
    assert torch.allclose(both, (loud + l1_relative(estimate[1:], target[1:], mixture[1:])) / 2)
