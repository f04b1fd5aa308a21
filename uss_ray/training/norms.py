"""Settle batch-norm statistics after training.

The separator's norms move by a hundredth a step, so that after a short run they still remember earlier weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def settle_norms(
    model: nn.Module, forward: Callable[[torch.Generator], object], *, batches: int, seed: int = 0
) -> None:
    """Replace running statistics by the plain mean over some batches of the finished weights.

    Parameters
    ----------
    model : Module
        Left in eval mode; its parameters are not changed.
    forward : callable
        Draws a batch with the generator it is given and runs the model on it.
    batches : int
    seed : int, default=0
    """
    model.train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d) and module.training]
    if not norms:
        model.eval()
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(batches):
            forward(generator)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
