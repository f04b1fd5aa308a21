from __future__ import annotations

import numpy as np
import torch

from tests.unit.separation.fakes import noise
from uss_ray.separation.masking import (
    make_consistent,
    make_levels_consistent,
    reference_weights,
    remainder_of,
)


def random_masks(count: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.polar(
        torch.rand(count, 4, 5, generator=draw), 6.28 * torch.rand(count, 4, 5, generator=draw)
    )


def test_consistent_masks_sum_to_the_total_and_the_larger_takes_more() -> None:
    masks = random_masks(3)
    total = torch.rand(4, 5)
    consistent = make_consistent(masks, total=total)
    torch.testing.assert_close(consistent.sum(0), total.to(torch.complex64), atol=1e-5, rtol=0)
    moved = (consistent - masks).abs()
    order = masks.abs().argsort(0)
    assert (moved.gather(0, order).diff(dim=0) >= -1e-6).all()


def test_masks_that_are_all_zero_share_equally() -> None:
    consistent = make_consistent(torch.zeros(4, 2, 2, dtype=torch.complex64), total=torch.ones(2, 2))
    torch.testing.assert_close(consistent, torch.full((4, 2, 2), 0.25, dtype=torch.complex64))


def test_levels_are_made_consistent_apart_and_other_queries_are_left_alone() -> None:
    masks = random_masks(4)
    consistent = make_levels_consistent(masks, levels=[1, None, 2, 1], total=torch.ones(4, 5))
    ones = torch.ones(4, 5, dtype=torch.complex64)
    torch.testing.assert_close(consistent[[0, 3]].sum(0), ones, atol=1e-5, rtol=0)
    torch.testing.assert_close(consistent[2], ones, atol=1e-5, rtol=0)
    assert torch.equal(consistent[1], masks[1])


def test_the_remainder_is_what_no_excluded_mask_lets_through() -> None:
    masks = torch.tensor([[0.25, 1.0, 0.0], [0.5j, 0.3, 0.0]])
    torch.testing.assert_close(remainder_of(masks), torch.tensor([0.375, 0.0, 1.0]))
    torch.testing.assert_close(remainder_of(torch.tensor([[1.5 + 0j]])), torch.tensor([0.0]))


def test_the_reference_is_the_mid_unless_the_channels_cancel_each_other() -> None:
    left = noise(1, 1000)[0]
    np.testing.assert_allclose(reference_weights(np.stack((left, 0.5 * left))), [0.5, 0.5])
    np.testing.assert_allclose(reference_weights(np.stack((0.9 * left, -left))), [0.0, 1.0])
    np.testing.assert_allclose(reference_weights(np.zeros((2, 10), dtype=np.float32)), [0.5, 0.5])
    np.testing.assert_allclose(reference_weights(left[None]), [1.0])
