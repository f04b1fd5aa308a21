"""Losses of the separator."""

from __future__ import annotations

from torch import Tensor


def l1_relative(estimate: Tensor, target: Tensor, mixture: Tensor) -> Tensor:
    """Mean absolute difference, each item scaled by the level of its mixture, so that quiet items count as loud ones.

    All of shape (batch, ..., samples).
    """
    level = mixture.abs().flatten(1).mean(dim=1).clamp(min=1e-6)
    return ((estimate - target).abs().flatten(1).mean(dim=1) / level).mean()
