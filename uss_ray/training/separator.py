"""Train the separator on mined anchors.

Owns the class-balanced draw, the choice of condition, and one step; the loop is in `loop.py`.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from uss_ray.anchors.pool import AnchorPool
from uss_ray.config import Settings
from uss_ray.errors import ConfigError
from uss_ray.mixtures import mix_in_ring, order_ring
from uss_ray.models.protocols import Separator
from uss_ray.training.losses import l1_relative

TRAINING_RMS_DBFS = (-35.0, -15.0)
"""Range of RMS levels that targets are brought to."""

_SUM_TOLERANCE = 1e-6


class ConditionShares(Settings):
    """How often a training item gets which kind of condition; the shares sum to 1."""

    own: float = Field(
        default=0.3, ge=0.0, le=1.0, description="The target anchor's own bottleneck, as in the paper."
    )
    masked: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="The same with all classes outside the target's subtree set to zero, as at hierarchical inference.",
    )
    class_mean: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="The mean of the class, so that a class can be asked for without an example.",
    )

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.own + self.masked + self.class_mean
        if abs(total - 1.0) > _SUM_TOLERANCE:
            raise ConfigError("condition shares", expected="a sum of 1", found=f"{total:g}")
        return self


def average_by_class(pool: AnchorPool) -> dict[int, NDArray[np.float32]]:
    """Average bottlenecks over the anchors of each class, weighted by score: the class-mean queries."""
    means: dict[int, NDArray[np.float32]] = {}
    for class_index in np.unique(pool.class_indexes):
        rows = pool.class_indexes == class_index
        weights = pool.scores[rows] + 1e-6
        means[int(class_index)] = np.average(pool.conditions[rows], axis=0, weights=weights).astype(
            np.float32
        )
    return means


class SeparatorTask:
    """Draw batches of mixtures and compute the loss of a step.

    Parameters
    ----------
    model : Separator
    pool : AnchorPool
    subtrees : ndarray of shape (classes, classes), dtype=bool
        From `Vocabulary.subtrees`.
    samples : int
        Length of an item; an anchor's or less.
    batch_size : int
    shares : ConditionShares, optional
    """

    def __init__(
        self,
        model: Separator,
        pool: AnchorPool,
        *,
        subtrees: NDArray[np.bool_],
        samples: int,
        batch_size: int,
        shares: ConditionShares | None = None,
    ) -> None:
        if samples > pool.audio.shape[1]:
            raise ConfigError(
                "training samples",
                expected=f"at most the {pool.audio.shape[1]} of an anchor",
                found=str(samples),
            )
        self.model = model
        self.pool = pool
        self.subtrees = subtrees
        self.related = subtrees | subtrees.T
        self.samples = samples
        self.batch_size = batch_size
        self.shares = shares or ConditionShares()
        self.class_means = average_by_class(pool)
        self.classes = sorted(self.class_means)
        self.rows = {c: np.flatnonzero(pool.class_indexes == c) for c in self.classes}
        self.weights = {c: torch.from_numpy(pool.scores[rows] + 1e-3) for c, rows in self.rows.items()}

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a batch: classes evenly, anchors within a class by score.

        Returns
        -------
        tuple of Tensor
            mixtures (batch, samples), targets (batch, samples), bottlenecks (batch, size)
        """
        picks = torch.randint(len(self.classes), (self.batch_size,), generator=generator).tolist()
        rows = np.array([self._pick(self.classes[k], generator) for k in picks])
        order = order_ring(
            self.pool.class_indexes[rows],
            self.pool.labels(rows, classes=len(self.related)),
            related=self.related,
            generator=generator,
        )
        rows = rows[order]
        targets = torch.from_numpy(self.pool.waveform(rows, samples=self.samples))
        rms = targets.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-4)
        low, high = TRAINING_RMS_DBFS
        level_db = torch.rand(len(targets), 1, generator=generator) * (high - low) + low
        targets = targets / rms * 10 ** (level_db / 20)
        conditions = torch.from_numpy(np.stack([self._condition(row, generator) for row in rows]))
        return mix_in_ring(targets), targets, conditions

    def loss(self, generator: torch.Generator) -> Tensor:
        """Draw a batch and return the loss of the separator on it."""
        mixtures, targets, conditions = self.draw(generator)
        return l1_relative(self.model(mixtures, conditions), targets, mixtures)

    def _pick(self, class_index: int, generator: torch.Generator) -> int:
        chosen = torch.multinomial(self.weights[class_index], 1, generator=generator)
        return int(self.rows[class_index][int(chosen)])

    def _condition(self, row: int, generator: torch.Generator) -> NDArray[np.float32]:
        class_index, own = int(self.pool.class_indexes[row]), self.pool.conditions[row]
        dice = float(torch.rand((), generator=generator))
        if dice < self.shares.own:
            return own
        if dice < self.shares.own + self.shares.masked:
            return np.where(self.subtrees[class_index], own, np.float32(0))
        return self.class_means[class_index]
