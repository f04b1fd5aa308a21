"""What a training run leaves, kept in memory."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from uss_ray.training.fit import TrainingState


class Kept:
    """Keeps what a run leaves, in memory."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.states: list[TrainingState] = []
        self.lines: list[Mapping[str, Any]] = []
        self.bad: list[Sequence[str]] = []

    def load(self) -> TrainingState | None:
        return self.states[-1] if self.states else None

    def save(self, state: TrainingState, *, keep: int) -> None:
        copy = TrainingState(
            state.step,
            {name: value.clone() for name, value in state.model.items()},
            {name: value.clone() for name, value in state.ema.items()},
            torch.load(_bytes(state.optimiser), weights_only=True),
            state.untold,
        )
        self.states = [*self.states, copy][-keep:]

    def add_metrics(self, line: Mapping[str, Any]) -> None:
        self.lines.append(line)

    def forget_after(self, step: int) -> None:
        self.lines = [line for line in self.lines if line["step"] <= step]

    def keep_bad_batch(
        self, step: int, *, names: Sequence[str], tensors: Mapping[str, torch.Tensor], rank: int
    ) -> str:
        self.bad.append(names)
        return f"bad {step} {rank}"


def _bytes(value: object) -> Any:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return buffer
