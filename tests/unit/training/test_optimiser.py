from __future__ import annotations

import pytest
import torch
from torch import nn

from uss_ray.training.optimiser import make_optimiser
from uss_ray.training.recipe import OptimiserSettings


def test_the_published_recipe_is_adamw_with_amsgrad_and_a_staircase():
    settings = OptimiserSettings(schedule="published", clip_norm=None)
    optimiser = make_optimiser([nn.Parameter(torch.zeros(2))], settings)
    (group,) = optimiser.param_groups
    assert (group["lr"], group["betas"], group["eps"]) == (1e-3, (0.9, 0.999), 1e-8)
    assert (group["weight_decay"], group["amsgrad"]) == (0.0, True)
    scales = [settings.scale(step, steps=10**6) for step in (0, 9_999, 10_000, 20_000, 30_000, 999_999)]
    assert scales == [1e-3, 1e-3, 1e-2, 0.1, 1.0, 1.0]


def test_other_schedules_are_a_line_with_a_cosine_and_a_constant():
    cosine = OptimiserSettings(warmup_steps=2)
    assert [cosine.scale(step, steps=10) for step in (0, 1, 2, 10)] == pytest.approx([0.5, 1.0, 1.0, 0.02])
    assert OptimiserSettings(schedule="constant").scale(5, steps=10) == 1.0
