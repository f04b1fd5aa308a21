from __future__ import annotations

import torch

from uss_ray.models.film import Film


def test_each_layer_gets_its_channels_of_one_linear_map() -> None:
    torch.manual_seed(0)
    film = Film(condition_size=3, layer_channels=[2, 5])
    condition = torch.rand(4, 3)
    first, second = film(condition)
    assert (first.shape, second.shape) == ((4, 2, 1, 1), (4, 5, 1, 1))
    torch.testing.assert_close(torch.cat((first, second), dim=1).flatten(1), film.shift(condition))


def test_no_condition_is_no_shift() -> None:
    shifts = Film(condition_size=3, layer_channels=[2, 5])(torch.zeros(1, 3))
    assert all(not shift.any() for shift in shifts)
