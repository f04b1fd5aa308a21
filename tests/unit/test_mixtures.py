from __future__ import annotations

import numpy as np
import torch

from uss_ray.mixtures import match_energy, mix_in_ring, order_ring


def test_matched_interference_has_the_energy_of_the_target() -> None:
    torch.manual_seed(0)
    target, other = torch.randn(3, 500) * 0.1, torch.randn(3, 500)
    assert torch.allclose(match_energy(target, other).square().sum(-1), target.square().sum(-1), rtol=1e-4)


def test_the_gain_is_limited_and_silence_stays_silent() -> None:
    assert torch.equal(match_energy(torch.ones(1, 4), torch.zeros(1, 4)), torch.zeros(1, 4))
    loud = match_energy(torch.ones(1, 4), torch.full((1, 4), 1e-4))
    assert torch.allclose(loud, torch.full((1, 4), 50 * 1e-4))


def test_each_anchor_is_interference_of_the_one_before() -> None:
    anchors = torch.eye(3)
    assert torch.allclose(mix_in_ring(anchors), anchors + anchors.roll(-1, 0))


def test_related_neighbours_are_parted_where_possible() -> None:
    related = np.eye(4, dtype=bool)
    related[0, 1] = related[1, 0] = True
    classes = np.array([0, 1, 0, 1, 2, 3, 2, 3])
    labels = np.eye(4)[classes]
    for seed in range(20):
        order = order_ring(classes, labels, related=related, generator=torch.Generator().manual_seed(seed))
        assert sorted(order) == list(range(8))
        assert not related[classes[order], classes[np.roll(order, -1)]].any()


def test_an_anchor_whose_clip_holds_the_other_class_counts_as_conflict() -> None:
    labels = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]], float)
    classes = np.array([0, 1, 2])
    for seed in range(10):
        order = list(
            order_ring(
                classes, labels, related=np.eye(3, dtype=bool), generator=torch.Generator().manual_seed(seed)
            )
        )
        assert {order[0], order[1]} != {0, 1} or order[0] == order[1]
