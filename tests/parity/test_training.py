"""Three steps of our loop against the released program's optimiser, schedule and loss, from the same parameters."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from tests.kept_run import Kept
from tests.parity import peers
from uss_ray.training.fit import Fit, Task
from uss_ray.training.losses import separation_loss
from uss_ray.training.recipe import FitSettings, LossSettings, OptimiserSettings

pytestmark = pytest.mark.peer

STEPS = 3


def batch_of(step: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(step)
    mixture, target = torch.randn(2, 4, 16, generator=draw, dtype=torch.float64)
    return mixture, target


class Small(Task[int]):
    """A small network in double precision, so that updates of a millionth are told from rounding."""

    items, item_seconds = 4, 1.0

    def __init__(self, network: nn.Module) -> None:
        self.module = network

    def load(self, step: int, lane: int) -> int:
        return step

    def loss(self, batch: int) -> Tensor:
        mixture, target = batch_of(batch)
        return separation_loss(self.module(mixture), target, mixture, settings=LossSettings(kind="l1"))

    def names(self, batch: int) -> Sequence[str]:
        return [str(batch)]


def test_three_steps_are_those_of_the_released_program(monkeypatch: pytest.MonkeyPatch) -> None:
    lightning, trainers = ModuleType("lightning"), ModuleType("lightning.pytorch")
    trainers.LightningModule = nn.Module  # type: ignore[attr-defined]
    lightning.pytorch = trainers  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightning", lightning)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", trainers)
    wrapper = peers.module_of("uss.models.pl_modules").LitSeparation
    schedule = peers.module_of("uss.optimizers.lr_schedulers").get_lr_lambda(
        "constant_warm_up", warm_up_steps=10_000, reduce_lr_steps=10**6
    )
    loss = peers.module_of("uss.losses").get_loss_function("l1_wav")
    torch.manual_seed(3)
    first = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 16)).double()
    theirs, ours = copy.deepcopy(first), copy.deepcopy(first)

    made = wrapper(theirs, None, None, None, loss, "AdamW", 1e-3, schedule).configure_optimizers()
    for step in range(STEPS):
        mixture, target = batch_of(step)
        made["optimizer"].zero_grad()
        loss({"segment": theirs(mixture)}, {"segment": target}).backward()
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()

    settings = FitSettings(
        steps=STEPS, optimiser=OptimiserSettings(schedule="published", clip_norm=None, learning_rate=1e-3)
    )
    Fit(Small(ours), settings=settings, lanes=[0], lane_count=1, keeper=Kept()).run()
    for name, before in first.state_dict().items():
        moved, expected = ours.state_dict()[name] - before, theirs.state_dict()[name] - before
        assert expected.abs().max() > 1e-6
        torch.testing.assert_close(moved, expected, rtol=1e-5, atol=1e-12)
