"""The loop that both networks are trained with: optimiser, schedule, checkpoints, progress.

Owns the steps' order and their resumption; what a step computes is handed in.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from uss_ray.config import Settings
from uss_ray.errors import ConfigError
from uss_ray.training.schedules import warmup_cosine

_log = logging.getLogger(__name__)


class LoopConfig(Settings):
    """Length and pace of a training run."""

    steps: int = Field(ge=1, description="Optimiser steps in all.")
    learning_rate: float = Field(gt=0.0, description="Peak rate.")
    warmup_steps: int = Field(default=100, ge=0, description="Steps until the peak.")
    weight_decay: float = Field(default=0.0, ge=0.0, description="Of AdamW.")
    clip_norm: float = Field(default=10.0, gt=0.0, description="Largest gradient norm.")
    checkpoint_steps: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    log_steps: int = Field(default=50, ge=1, description="Steps between lines of the log.")
    seed: int = Field(default=0, ge=0, description="Of draws and initial values.")


def run_loop(
    model: nn.Module,
    step_loss: Callable[[torch.Generator], Tensor],
    *,
    config: LoopConfig,
    checkpoint: Path,
) -> nn.Module:
    """Train until `config.steps`, from the checkpoint if there is one.

    Parameters
    ----------
    model : Module
        Trained in place.
    step_loss : callable
        Draws a batch with the generator it is given and returns the loss.
    config : LoopConfig
    checkpoint : Path
        File that holds model, optimiser, step and generator; written atomically.

    Returns
    -------
    Module
        The same model, in eval mode.

    Raises
    ------
    ConfigError
        If the checkpoint is of another run length or seed.
    """
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, amsgrad=True
    )
    generator = torch.Generator().manual_seed(config.seed)
    torch.manual_seed(config.seed)
    done = _resume(checkpoint, model, optimiser, generator, config)
    losses: list[float] = []
    started = time.monotonic()
    for step in range(done, config.steps):
        scale = warmup_cosine(step, warmup_steps=config.warmup_steps, total_steps=config.steps)
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * scale
        model.train()
        loss = step_loss(generator)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimiser.step()
        losses.append(float(loss.detach()))
        if (step + 1) % config.log_steps == 0:
            mean, pace = sum(losses) / len(losses), len(losses) / (time.monotonic() - started)
            _log.info("step %d/%d loss %.5f (%.2f steps/s)", step + 1, config.steps, mean, pace)
            losses, started = [], time.monotonic()
        if (step + 1) % config.checkpoint_steps == 0 or step + 1 == config.steps:
            _save(checkpoint, model, optimiser, generator, step + 1, config)
    return model.eval()


def _save(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    step: int,
    config: LoopConfig,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "generator": generator.get_state(),
        "global_generator": torch.get_rng_state(),
        "step": step,
        "steps": config.steps,
        "seed": config.seed,
    }
    torch.save(state, partial)
    os.replace(partial, path)


def _resume(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    config: LoopConfig,
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if (state["steps"], state["seed"]) != (config.steps, config.seed):
        raise ConfigError(
            str(path),
            expected=f"a checkpoint of {config.steps} steps with seed {config.seed}",
            found=f"{state['steps']} steps with seed {state['seed']}",
        )
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    generator.set_state(state["generator"])
    torch.set_rng_state(state["global_generator"])
    return int(state["step"])
