from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from uss_ray.training.fit import Task
from uss_ray.training.norms import settle_norms, settle_norms_of


def test_statistics_are_the_plain_mean_of_the_batches_and_parameters_stay() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1, momentum=0.01))
    model(torch.full((2, 1, 4, 4), 100.0))
    before = {name: value.clone() for name, value in model.named_parameters()}
    values = iter([1.0, 3.0])
    settle_norms(model, lambda _: model(torch.full((2, 1, 4, 4), next(values))), batches=2)
    assert model[0].running_mean.tolist() == [2.0]
    assert (model[0].momentum, model.training) == (0.01, False)
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())


class Noisy(Task[torch.Tensor]):
    """Data of noise that torch's generator makes when the loss is computed, behind dropout."""

    items, item_seconds, device = 2, 1.0, torch.device("cpu")

    def __init__(self) -> None:
        self.module = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1), nn.Dropout(0.5), nn.BatchNorm2d(1))
        self.modes: list[tuple[bool, ...]] = []

    def load(self, step: int, lane: int) -> torch.Tensor:
        return torch.full((2, 1, 4, 4), 1.0 + step + 10 * lane)

    def loss(self, batch: torch.Tensor) -> torch.Tensor:
        self.modes.append(tuple(part.training for part in self.module))
        return self.module(batch + torch.randn(batch.shape)).mean()

    def names(self, batch: torch.Tensor) -> Sequence[str]:
        return []


def test_dropout_is_off_and_what_is_drawn_follows_from_seed_step_and_lane() -> None:
    means = []
    for state, seed in ((1, 0), (2, 0), (2, 1)):
        task = Noisy()
        torch.manual_seed(state)
        settle_norms_of(task, first=3, batches=2, lanes=2, seed=seed)
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(state)))
        assert task.modes == [(False, True, False, True)] * 4
        means.append(float(task.module[1].running_mean))
    assert means[0] == means[1] != means[2]
    assert means[0] == pytest.approx(9.5, abs=0.3)  # dropout keeps a mean, and widens what is around it
    assert float(task.module[1].running_var) == pytest.approx(1.0, abs=0.5)


def test_norms_that_stay_in_evaluation_are_not_settled() -> None:
    class Held(nn.Sequential):
        def train(self, mode: bool = True) -> Held:
            super().train(mode)
            self[0].eval()
            return self

    model = Held(nn.BatchNorm2d(1), nn.BatchNorm2d(1))
    settle_norms(model, lambda _: model(torch.full((2, 1, 4, 4), 5.0)), batches=1)
    assert model[0].running_mean.tolist() == [0.0]
    assert model[1].running_mean.tolist() == pytest.approx([5.0], abs=1e-3)


def test_a_network_without_statistics_sees_no_batch() -> None:
    model = nn.Linear(1, 1).train()
    settle_norms(model, lambda _: 1 / 0, batches=2)
    assert not model.training
