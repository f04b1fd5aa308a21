"""Settle batch-norm statistics after training.

The separator's norms move by a hundredth a step, so that after a short run they still remember earlier weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from uss_ray.training.fit import Task, counter_seed


def settle_norms(model: nn.Module, forward: Callable[[int], object], *, batches: int) -> None:
    """Replace running statistics by the plain mean over some batches of the finished weights.

    All but the norms is as it will be used, in evaluation: dropout would shape what they see.

    Parameters
    ----------
    model : Module
        Left in eval mode; its parameters are not changed.
    forward : callable
        Runs the model on a batch, given its number from 0.
    batches : int
    """
    model.train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d) and module.training]
    if not norms:
        model.eval()
        return
    model.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
    with torch.no_grad():
        for number in range(batches):
            forward(number)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def settle_norms_of(task: Task[Any], *, first: int, batches: int, lanes: int, seed: int) -> None:
    """Settle the norms of a task's module on its data; the same state gives the same statistics.

    Parameters
    ----------
    task : Task
    first : int
        Step from which on data is taken.
    batches : int
        Steps of data.
    lanes : int
        Of a step.
    seed : int
        Of the run.
    """

    def forward(number: int) -> None:
        step = first + number
        for lane in range(lanes):
            torch.manual_seed(counter_seed(seed, step, lane))  # resident tasks draw from torch, as in `Fit`
            task.loss(task.load(step, lane))

    with torch.random.fork_rng(devices=[task.device] if task.device.type == "cuda" else []):
        settle_norms(task.module, forward, batches=batches)
