from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.separation.fakes import noise
from uss_ray.separation.masking import (
    make_consistent,
    make_levels_consistent,
    reference_weights,
    remainder_of,
    share_estimates,
    share_masks,
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


def test_masks_are_turned_down_only_where_they_let_more_through_than_there_is() -> None:
    masks = torch.tensor([[0.6, 0.2], [0.6, 0.3], [0.3, 0.1]]).to(torch.complex64)
    shared = share_masks(masks, given_back=0.0)
    torch.testing.assert_close(shared[:, 0].real, torch.tensor([0.4, 0.4, 0.2]))
    assert torch.equal(shared[:, 1], masks[:, 1])
    back = share_masks(masks, given_back=0.25)
    torch.testing.assert_close(back[:, 1].sum().real, torch.tensor(0.6 + 0.25 * 0.4))
    torch.testing.assert_close(share_masks(masks, given_back=1.0).sum(dim=0).real, torch.ones(2))


@pytest.mark.parametrize("given_back", [0.0, 0.25])
def test_what_shared_estimates_leave_holds_none_of_them_turned_round(given_back: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        sounds = rng.standard_normal((3, 2, 400)) * rng.uniform(0.1, 2, (3, 1, 1))
        total = torch.from_numpy(sounds.sum(axis=0)).float()
        # Estimates of sounds that overlap, come twice, or are not there at all.
        mixing = rng.uniform(0, 1.3, (5, 3))
        wrong = 0.2 * rng.standard_normal((5, 2, 400))
        estimates = torch.from_numpy(np.einsum("es,sct->ect", mixing, sounds) + wrong).float()
        shared = share_estimates(estimates, total=total, given_back=given_back)
        rest = total - shared.sum(dim=0)
        held = (shared * rest).sum(dim=-1) / shared.square().sum(dim=-1).clamp(min=1e-12)
        # A hair below nothing, for the factors are found in steps.
        assert held[shared.square().sum(dim=-1) > 1e-9].min() > -0.01


def test_equal_estimates_share_equally_and_what_overlaps_with_nothing_stays() -> None:
    one, other = torch.eye(2, 8).unsqueeze(1)
    shared = share_estimates(torch.stack((one, one, 0.5 * other)), total=one + other, given_back=0.0)
    torch.testing.assert_close(shared[0], 0.5 * one)
    assert torch.equal(shared[0], shared[1])
    torch.testing.assert_close(shared[2], 0.5 * other)


def test_estimates_that_are_nearly_the_same_all_keep_their_share() -> None:
    sound = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 500))).float()
    estimates = torch.stack([size * sound for size in (1.0, 0.97, 1.01)])
    estimates = (
        estimates + 0.01 * torch.from_numpy(np.random.default_rng(1).standard_normal((3, 1, 500))).float()
    )
    shared = share_estimates(estimates, total=0.9 * sound, given_back=0.0)
    sizes = shared.square().sum(dim=-1).sqrt()
    assert sizes.min() > 0.5 * sizes.max()
    torch.testing.assert_close(shared.sum(dim=0), 0.9 * sound, atol=0.1, rtol=0)
