"""Train a separator on a pack of anchors: the recipe, and what a lane computes.

The loop is `fit`'s, the items are `mixing`'s; here they become batches, conditions and a loss.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from uss_ray.anchors.packed_reader import PackedAnchor
from uss_ray.errors import ConfigError, DataError
from uss_ray.mixtures import matching_gain
from uss_ray.models.compiled import compile_here
from uss_ray.models.memory import lay_out_channels_last
from uss_ray.models.protocols import Separator, hears_activity
from uss_ray.models.query_net import Adaptor, bottleneck_of, bottleneck_size, make_condition
from uss_ray.models.registry import build_network, describe_network
from uss_ray.models.resunet import SpectrogramUNet
from uss_ray.models.specifications import ConditionKind
from uss_ray.models.tagging import AudioTagger
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.training.anchors import TrainingAnchors
from uss_ray.training.fit import Task
from uss_ray.training.losses import separation_loss
from uss_ray.training.mixing import Item, MixturePlan
from uss_ray.training.plan import DrawPlan
from uss_ray.training.recipe import QuerySettings, SeparatorRecipe
from uss_ray.training.render import render

_log = logging.getLogger(__name__)

_NOTHING = np.zeros(0, np.float32)
_LOOKED_AT_STEPS = 8
_MOST_ALONE = 0.5


@dataclass(frozen=True, eq=False)
class SeparatorBatch:
    """A lane's part of a step.

    Parameters
    ----------
    items : sequence of Item
    mixtures, targets : Tensor of shape (items, samples)
    bottlenecks : Tensor of shape (items, size)
        As they are stored; of no size where none is used.
    queries : Tensor of shape (items, samples)
        What a trunk hears; of no samples where none is trained.
    """

    items: Sequence[Item]
    mixtures: Tensor
    targets: Tensor
    bottlenecks: Tensor
    queries: Tensor


class ConditionedSeparator(nn.Module):
    """The separator, and what makes its condition: all that is trained.

    Parameters
    ----------
    separator : Module
        See `models.protocols.Separator`.
    adaptor : Adaptor, optional
    query : AudioTagger, optional
        The trunk of the query net, where it is another than the tagger that mined.
    settings : QuerySettings
    """

    def __init__(
        self,
        separator: nn.Module,
        adaptor: Adaptor | None,
        query: AudioTagger | None,
        *,
        settings: QuerySettings,
    ) -> None:
        super().__init__()
        self.separator: nn.Module = separator
        self.adaptor: Adaptor | None = adaptor
        self.query: AudioTagger | None = query
        self._settings = settings

    def train(self, mode: bool = True) -> ConditionedSeparator:
        """See `Module`; a trunk that stays as it is stays in evaluation."""
        super().train(mode)
        if self.query is not None and self._settings.trunk_stays:
            self.query.eval()
        return self

    def conditions(self, bottlenecks: Tensor, queries: Tensor) -> Tensor:
        """Make conditions of shape (batch, condition_size) of what is stored and heard."""
        made = bottlenecks if self.query is None else bottleneck_of(self.query(queries), self._settings.kind)
        return make_condition(
            made, adaptor=self.adaptor, past=bottlenecks if self._settings.shortcut else None
        )

    def forward(
        self, mixtures: Tensor, bottlenecks: Tensor, queries: Tensor, activity: Tensor | None
    ) -> list[Tensor]:
        """Separate mixtures of shape (batch, samples); give what came of each pass, the last one last."""
        conditions = self.conditions(bottlenecks, queries)
        heard = () if activity is None else (activity,)
        if isinstance(self.separator, SpectrogramUNet):
            return self.separator.estimates_of_passes(mixtures, conditions, *heard)
        return [self.separator(mixtures, conditions, *heard)]


class SeparatorTask(Task[SeparatorBatch]):
    """A separator, and the items of a pack that it is trained on.

    Parameters
    ----------
    recipe : SeparatorRecipe
    anchors : TrainingAnchors
    vocabulary : Vocabulary
    tagger : AudioTagger, optional
        The one that mined; needed where the recipe has a trunk like it, or a separator that follows its frames.
    foreign : AudioTagger, optional
        The trunk of a recipe that has a foreign one.
    device : device, default="cpu"

    Raises
    ------
    ConfigError
        If recipe and anchors do not fit each other.
    DataError
        If the anchors lack what the recipe needs.
    """

    module: ConditionedSeparator

    def __init__(
        self,
        recipe: SeparatorRecipe,
        anchors: TrainingAnchors,
        *,
        vocabulary: Vocabulary,
        tagger: AudioTagger | None = None,
        foreign: AudioTagger | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        torch.manual_seed(recipe.plan.seed)
        separator = build_network("separator", recipe.separator.model_dump())
        adaptor = None if recipe.query.adaptor is None else Adaptor(recipe.query.adaptor)
        trunk = _make_trunk(recipe.query, tagger, foreign)
        follows = hears_activity(cast(Separator, separator))
        check_recipe(recipe, anchors, classes=len(vocabulary.classes), trunk=trunk)
        if follows and (tagger is None or tagger.config.head != "frame"):
            raise ConfigError(
                "training setting separator.film.framewise",
                expected="off, or anchors that were mined by a tagger that says when",
                found="on",
            )
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
            anchors.catalogue,
            draws,
            settings=recipe.mixtures,
            related=vocabulary.relatives(),
            by_example=trunk is not None,
        )
        alone = self.mixtures.share_alone(_LOOKED_AT_STEPS)
        if alone > _MOST_ALONE:
            _log.warning(
                "%.0f %% of the items find no partner and are their target alone: nothing is learned from them. Where "
                "the detector hears a little of each class everywhere, mixtures.partners: labels goes by labels alone",
                100 * alone,
            )
        self.class_means = stored_means(anchors, recipe.query, classes=len(vocabulary.classes))
        module = ConditionedSeparator(separator, adaptor, trunk, settings=recipe.query)
        if recipe.fit.channels_last:
            lay_out_channels_last(module)
        self.module = module.to(self.device)
        # Beside the module: it is not trained, and no checkpoint needs it.
        self._detector = tagger.to(self.device).eval() if follows and tagger is not None else None
        self._forward = compile_here(self.module) if recipe.fit.compiled else self.module

    def apart(self) -> SeparatorTask:
        """Give the same task with networks of its own, so that a state can be tried while a run goes on."""
        other = copy.copy(self)
        other.module = copy.deepcopy(self.module)
        other._forward = other.module
        return other

    def load(self, step: int, lane: int) -> SeparatorBatch:
        """See `Task`."""
        items = self.mixtures.items(step, lane)
        asked = [row for item in items for _, row in item.asked]
        rows = list(dict.fromkeys([*(row for item in items for row in item.anchors), *asked]))
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
        bottlenecks = [self._bottleneck(item, read) for item in items]
        hears = self.module.query is not None
        queries = [_sum_of([read[row] for _, row in item.asked]) if hears else _NOTHING for item in items]
        return SeparatorBatch(
            items=items,
            mixtures=torch.from_numpy(np.stack([each.mixture for each in rendered])),
            targets=torch.from_numpy(np.stack([each.target for each in rendered])),
            bottlenecks=torch.from_numpy(np.stack(bottlenecks)),
            queries=torch.from_numpy(np.stack(queries)),
        )

    def loss(self, batch: SeparatorBatch) -> Tensor:
        """See `Task`; the mean over the separator's passes."""
        mixtures, targets = batch.mixtures.to(self.device), batch.targets.to(self.device)
        estimates = self._forward(
            mixtures,
            batch.bottlenecks.to(self.device),
            batch.queries.to(self.device),
            self._activity(mixtures, batch.items),
        )
        losses = [
            separation_loss(estimate.float(), targets, mixtures, settings=self.recipe.loss)
            for estimate in estimates
        ]
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def names(self, batch: SeparatorBatch) -> Sequence[str]:
        """See `Task`."""
        return [
            f"step {item.step} lane {item.lane} item {item.place}: anchors {', '.join(map(str, item.anchors))}"
            for item in batch.items
        ]

    def query_of(self, anchors: Sequence[PackedAnchor]) -> tuple[Tensor, Tensor]:
        """Give what is stored of anchors and what a trunk hears of them, which makes their conditions."""
        kind = self.recipe.query.stored
        stored = [_NOTHING if kind is None else _stored(anchor, kind) for anchor in anchors]
        heard = [_NOTHING if self.module.query is None else anchor.waveform for anchor in anchors]
        return torch.from_numpy(np.stack(stored)), torch.from_numpy(np.stack(heard))

    @torch.no_grad()
    def _activity(self, mixtures: Tensor, items: Sequence[Item]) -> Tensor | None:
        """Let the detector say when in the mixtures the wanted classes are heard, as the engine does."""
        if self._detector is None:
            return None
        with torch.autocast(self.device.type, enabled=False):
            frames = self._detector(mixtures).framewise_probs
        assert frames is not None  # of a tagger with a frame head
        wanted = torch.from_numpy(
            np.stack([self._subtrees[[index for index, _ in item.asked]].any(axis=0) for item in items])
        )
        return (frames * wanted.to(frames).unsqueeze(1)).amax(dim=2)

    def _bottleneck(self, item: Item, described: Mapping[int, PackedAnchor]) -> NDArray[np.float32]:
        """Describe what is asked for; two classes by the mean of both, as the engine does."""
        made = [self._bottleneck_of(item, index, described[row]) for index, row in item.asked]
        return made[0] if len(made) == 1 else np.mean(made, axis=0, dtype=np.float32)

    def _bottleneck_of(self, item: Item, class_index: int, described: PackedAnchor) -> NDArray[np.float32]:
        query = self.recipe.query
        if query.kind == "hard":
            return self.class_means[class_index]
        if query.stored is None:
            return _NOTHING
        if item.condition == "class-mean" and item.example is None:
            return self.class_means[class_index]
        own = _stored(described, query.kind)
        if item.condition == "masked":
            return np.where(self._subtrees[class_index], own, np.float32(0))
        return own


def check_recipe(
    recipe: SeparatorRecipe, anchors: TrainingAnchors, *, classes: int, trunk: AudioTagger | None
) -> None:
    """Refuse a recipe that does not fit a pack of so many classes, before any work.

    Raises
    ------
    ConfigError, DataError
        See `SeparatorTask`.
    """
    manifest, query = anchors.manifest, recipe.query
    _require("separator.sample_rate", recipe.separator.sample_rate, of_anchors=manifest.sample_rate)
    if recipe.samples is not None and recipe.samples > manifest.samples:
        raise ConfigError(
            "training setting samples",
            expected=f"at most the {manifest.samples} of an anchor",
            found=str(recipe.samples),
        )
    if query.stored is not None and query.stored not in manifest.conditions:
        raise DataError(
            str(anchors.root),
            expected=f"anchors that were mined with --conditions {query.stored} (or both)",
            found=f"conditions {', '.join(manifest.conditions) or 'none'}",
        )
    means = stored_means(anchors, query, classes=classes)
    stored = len(next(iter(means.values()))) if means else 0
    size = stored
    if trunk is not None:
        _require("query.network.sample_rate", trunk.config.sample_rate, of_anchors=manifest.sample_rate)
        size = bottleneck_size(trunk.config, query.kind)
    if query.adaptor is not None:
        if query.adaptor.bottleneck_size != size:
            raise ConfigError(
                "training setting query.adaptor.bottleneck_size",
                expected=str(size),
                found=str(query.adaptor.bottleneck_size),
            )
        size = query.adaptor.condition_size
    size += stored if query.shortcut else 0
    takes = recipe.separator.condition_size
    if takes != size:
        raise ConfigError("training setting separator.condition_size", expected=str(size), found=str(takes))
    if (query.kind == "latent" or trunk is not None) and recipe.mixtures.conditions.masked:
        raise ConfigError(
            "training setting mixtures.conditions.masked",
            expected="0 without stored class probabilities, of which some could be chosen",
            found=f"{recipe.mixtures.conditions.masked:g}",
        )
    if recipe.plan.lane_items == 1:
        raise ConfigError(
            "training setting batch_size",
            expected="two items or more a lane, for norm statistics are taken over a lane",
            found=f"{recipe.plan.batch_size} in {recipe.plan.lanes} lanes",
        )


def stored_means(
    anchors: TrainingAnchors, query: QuerySettings, *, classes: int
) -> dict[int, NDArray[np.float32]]:
    """Give the mean bottleneck of each class that has anchors; none where none is stored."""
    if query.kind == "hard":
        return {index: np.eye(1, classes, index, dtype=np.float32)[0] for index in anchors.catalogue.classes}
    return anchors.class_means(query.stored) if query.stored is not None else {}


def _stored(anchor: PackedAnchor, kind: ConditionKind) -> NDArray[np.float32]:
    own = anchor.soft if kind == "soft" else anchor.latent
    assert own is not None  # of a manifest that promises it
    return own


def _sum_of(anchors: Sequence[PackedAnchor]) -> NDArray[np.float32]:
    """Mix what a query net hears, all at the energy of the first."""
    first, *others = (anchor.waveform for anchor in anchors)
    for other in others:
        first = first + other * np.float32(matching_gain(first, other))
    return first


def _make_trunk(
    query: QuerySettings, tagger: AudioTagger | None, foreign: AudioTagger | None
) -> AudioTagger | None:
    if (query.trunk == "foreign") != (foreign is not None):
        raise ConfigError(
            "training setting query.trunk",
            expected="foreign with query_weights, and not without",
            found=f"{query.trunk} {'without' if foreign is None else 'with'} them",
        )
    if foreign is not None:
        return foreign.requires_grad_(False)
    if query.trunk == "frozen":
        return None
    if tagger is None and query.network is None:
        raise ConfigError(
            "training setting query.trunk", expected="frozen without a tagger", found=query.trunk
        )
    settings = (
        query.network.model_dump()
        if query.network is not None
        else describe_network("tagger", cast(nn.Module, tagger))
    )
    trunk = cast(AudioTagger, build_network("tagger", settings))
    if query.trunk == "finetuned" and tagger is not None:
        trunk.load_state_dict(tagger.state_dict())
    return trunk.requires_grad_(not query.trunk_stays)


def _require(name: str, found: int, *, of_anchors: int) -> None:
    if found != of_anchors:
        raise ConfigError(
            f"training setting {name}", expected=f"that of the anchors, {of_anchors}", found=str(found)
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
