from __future__ import annotations

import torch
from torch import nn

from uss_ray.training.norms import settle_norms


def test_statistics_are_the_plain_mean_of_the_batches_and_parameters_stay() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1, momentum=0.01))
    model(torch.full((2, 1, 4, 4), 100.0))
    before = {name: value.clone() for name, value in model.named_parameters()}
    values = iter([1.0, 3.0])
    settle_norms(model, lambda _: model(torch.full((2, 1, 4, 4), next(values))), batches=2)
    assert model[0].running_mean.tolist() == [2.0]
    assert (model[0].momentum, model.training) == (0.01, False)
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())


def test_a_network_without_statistics_sees_no_batch() -> None:
    model = nn.Linear(1, 1).train()
    settle_norms(model, lambda _: 1 / 0, batches=2)
    assert not model.training
