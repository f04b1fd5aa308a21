"""Train a separator on a pack of anchors: the recipe, and what a lane computes.

The loop is `fit`'s, the items are `mixing`'s; here they become batches, conditions and a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from uss_ray.anchors.packed_reader import PackedAnchor, PackedAnchors
from uss_ray.errors import ConfigError, DataError
from uss_ray.models.memory import lay_out_channels_last
from uss_ray.models.query_net import Adaptor
from uss_ray.models.registry import build_network
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.training.fit import Task
from uss_ray.training.losses import separation_loss
from uss_ray.training.mixing import Item, MixturePlan
from uss_ray.training.plan import DrawPlan
from uss_ray.training.recipe import SeparatorRecipe
from uss_ray.training.render import render


@dataclass(frozen=True, eq=False)
class SeparatorBatch:
    """A lane's part of a step.

    Parameters
    ----------
    items : sequence of Item
    mixtures, targets : Tensor of shape (items, samples)
    bottlenecks : Tensor of shape (items, size)
        Before an adaptor.
    """

    items: Sequence[Item]
    mixtures: Tensor
    targets: Tensor
    bottlenecks: Tensor


class ConditionedSeparator(nn.Module):
    """The separator and what makes its condition of a bottleneck.

    Parameters
    ----------
    separator : Module
        See `models.protocols.Separator`.
    adaptor : Adaptor, optional
    """

    def __init__(self, separator: nn.Module, adaptor: Adaptor | None) -> None:
        super().__init__()
        self.separator = separator
        self.adaptor = adaptor

    def forward(self, mixtures: Tensor, bottlenecks: Tensor) -> Tensor:
        """Separate mixtures of shape (batch, samples) under bottlenecks (batch, size)."""
        conditions = bottlenecks if self.adaptor is None else self.adaptor(bottlenecks)
        estimates: Tensor = self.separator(mixtures, conditions)
        return estimates


class SeparatorTask(Task[SeparatorBatch]):
    """A separator, and the items of a pack that it is trained on.

    Parameters
    ----------
    recipe : SeparatorRecipe
    anchors : PackedAnchors
    vocabulary : Vocabulary
    device : device, default="cpu"

    Raises
    ------
    ConfigError
        If recipe and anchors do not fit each other.
    DataError
        If the anchors lack what the recipe needs.
    """

    def __init__(
        self,
        recipe: SeparatorRecipe,
        anchors: PackedAnchors,
        *,
        vocabulary: Vocabulary,
        device: torch.device | str = "cpu",
    ) -> None:
        check_recipe(recipe, anchors)
        self.recipe = recipe
        self.anchors = anchors
        self.device = torch.device(device)
        self.samples = recipe.samples or anchors.manifest.samples
        self.items = recipe.plan.batch_size
        self.item_seconds = self.samples / anchors.manifest.sample_rate
        self._subtrees = vocabulary.subtrees()
        draws = DrawPlan(
            anchors.catalogue,
            settings=recipe.plan,
            classes=drawn_classes(anchors.catalogue.classes, self._subtrees, leaf_draws=recipe.leaf_draws),
        )
        self.mixtures = MixturePlan(
            anchors.catalogue, draws, settings=recipe.mixtures, related=vocabulary.relatives()
        )
        self.class_means = anchors.class_means(recipe.query.kind)
        torch.manual_seed(recipe.plan.seed)
        separator = lay_out_channels_last(build_network("separator", recipe.separator.model_dump()))
        adaptor = None if recipe.query.adaptor is None else Adaptor(recipe.query.adaptor)
        self.module = ConditionedSeparator(separator, adaptor).to(self.device)
        self._forward = torch.compile(self.module) if recipe.fit.compiled else self.module

    def load(self, step: int, lane: int) -> SeparatorBatch:
        """See `Task`."""
        items = self.mixtures.items(step, lane)
        rows = list(dict.fromkeys(row for item in items for row in item.anchors))
        read = dict(zip(rows, self.anchors.read(rows), strict=True))
        rendered = [
            render(
                item,
                [read[row] for row in item.anchors],
                settings=self.recipe.mixtures,
                augmentation=self.recipe.augmentation,
                samples=self.samples,
                sample_rate=self.anchors.manifest.sample_rate,
                seed=self.recipe.plan.seed,
            )
            for item in items
        ]
        bottlenecks = [self._bottleneck(item, read[item.target]) for item in items]
        return SeparatorBatch(
            items=items,
            mixtures=torch.from_numpy(np.stack([each.mixture for each in rendered])),
            targets=torch.from_numpy(np.stack([each.target for each in rendered])),
            bottlenecks=torch.from_numpy(np.stack(bottlenecks)),
        )

    def loss(self, batch: SeparatorBatch) -> Tensor:
        """See `Task`."""
        mixtures, targets = batch.mixtures.to(self.device), batch.targets.to(self.device)
        estimates = self._forward(mixtures, batch.bottlenecks.to(self.device))
        return separation_loss(estimates.float(), targets, mixtures, settings=self.recipe.loss)

    def names(self, batch: SeparatorBatch) -> Sequence[str]:
        """See `Task`."""
        return [
            f"step {item.step} lane {item.lane} item {item.place}: anchors {', '.join(map(str, item.anchors))}"
            for item in batch.items
        ]

    def _bottleneck(self, item: Item, target: PackedAnchor) -> NDArray[np.float32]:
        if item.condition == "class-mean":
            return self.class_means[item.condition_class]
        own = target.soft if self.recipe.query.kind == "soft" else target.latent
        assert own is not None  # of a manifest that promises it
        if item.condition == "masked":
            return np.where(self._subtrees[item.condition_class], own, np.float32(0))
        return own


def check_recipe(recipe: SeparatorRecipe, anchors: PackedAnchors) -> None:
    """Refuse a recipe that does not fit a pack, before any work.

    Raises
    ------
    ConfigError, DataError
        See `SeparatorTask`.
    """
    manifest, query = anchors.manifest, recipe.query
    rate = recipe.separator.sample_rate
    if rate != manifest.sample_rate:
        raise ConfigError(
            "training setting separator.sample_rate",
            expected=f"that of the anchors, {manifest.sample_rate}",
            found=str(rate),
        )
    if recipe.samples is not None and recipe.samples > manifest.samples:
        raise ConfigError(
            "training setting samples",
            expected=f"at most the {manifest.samples} of an anchor",
            found=str(recipe.samples),
        )
    if query.kind not in manifest.conditions:
        raise DataError(
            str(anchors.root),
            expected=f"anchors that were mined with --conditions {query.kind} (or all)",
            found=f"conditions {', '.join(manifest.conditions) or 'none'}",
        )
    size = len(next(iter(anchors.class_means(query.kind).values())))
    takes = recipe.separator.condition_size
    if query.adaptor is not None:
        if query.adaptor.bottleneck_size != size:
            raise ConfigError(
                "training setting query.adaptor.bottleneck_size",
                expected=str(size),
                found=str(query.adaptor.bottleneck_size),
            )
        size = query.adaptor.condition_size
    if takes != size:
        raise ConfigError("training setting separator.condition_size", expected=str(size), found=str(takes))
    if query.kind == "latent" and recipe.mixtures.conditions.masked:
        raise ConfigError(
            "training setting mixtures.conditions.masked",
            expected="0 with latent bottlenecks, which have no classes to choose from",
            found=f"{recipe.mixtures.conditions.masked:g}",
        )
    if recipe.plan.lane_items == 1:
        raise ConfigError(
            "training setting batch_size",
            expected="two items or more a lane, for norm statistics are taken over a lane",
            found=f"{recipe.plan.batch_size} in {recipe.plan.lanes} lanes",
        )


def drawn_classes(classes: Sequence[int], subtrees: NDArray[np.bool_], *, leaf_draws: int) -> list[int]:
    """Name each class as often as it is drawn in a round."""
    there = np.zeros(len(subtrees), np.bool_)
    there[list(classes)] = True
    drawn: list[int] = []
    for index in classes:
        is_leaf = int((subtrees[index] & there).sum()) == 1
        drawn += [index] * (leaf_draws if is_leaf else 1)
    return drawn
