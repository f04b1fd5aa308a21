"""The optimiser and its learning rate as functions of settings and step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from uss_ray.training.recipe import OptimiserSettings


def make_optimiser(parameters: Iterable[nn.Parameter], settings: OptimiserSettings) -> torch.optim.AdamW:
    """Make the optimiser; its rate is set at every step."""
    return torch.optim.AdamW(
        parameters,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        eps=settings.epsilon,
        amsgrad=settings.amsgrad,
        fused=True,
    )
