"""What steers the separator in an evaluation: from a target of an item to what the engine is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from uss_ray.errors import ConfigError, QueryError, WeightsError
from uss_ray.evaluation.benchmarks.benchmark import generator
from uss_ray.evaluation.items import EvaluationList, Item, ItemSource
from uss_ray.evaluation.rows import RANDOM_CLASS
from uss_ray.evaluation.sounds import MixedItem, SoundShelf
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import (
    Asking,
    Target,
    target_for_condition,
    target_for_text,
    targets_for_classes,
)

_TRIES = 200


class Query(ABC):
    """One kind of query.

    Parameters
    ----------
    engine : SeparationEngine
    settings : SeparationSettings

    Attributes
    ----------
    name : str
    settings : SeparationSettings
        What the engine is to be run with.
    """

    name: str

    def __init__(self, engine: SeparationEngine, settings: SeparationSettings) -> None:
        self.engine = engine
        self.settings = settings

    @abstractmethod
    def target(self, mixed: MixedItem, source: ItemSource) -> Target:
        """Ask for a target of an item.

        Raises
        ------
        QueryError
            If there is nothing to ask with, as of silence.
        """

    def check(self, items: Sequence[Item]) -> None:  # noqa: B027 - most can ask for everything
        """Refuse before any work what could not be asked for."""


class Oracle(Query):
    """The target itself as an example: an upper bound that no user has."""

    name = "oracle"

    def target(self, mixed: MixedItem, source: ItemSource) -> Target:
        """See `Query`."""
        sound = ArraySource(mixed.targets[source.label], sample_rate=mixed.sample_rate, name=source.label)
        condition = self.engine.condition_of_examples([sound], settings=self.settings)
        return target_for_condition(source.class_id or source.label, condition=condition)


class ByNode(Query):
    """The ontology node by its name, steered to as the settings say.

    Parameters
    ----------
    engine : SeparationEngine
    settings : SeparationSettings
    name : {"class-mean", "detected"}
    allow_unknown : bool, default=False
        Whether a node without a class mean is a target that cannot be asked for, and not the end of the run.
    """

    def __init__(
        self,
        engine: SeparationEngine,
        settings: SeparationSettings,
        *,
        name: Literal["class-mean", "detected"],
        allow_unknown: bool = False,
    ) -> None:
        super().__init__(engine, settings.replace(condition=name))
        self.name = name
        self._allow_unknown = allow_unknown

    def target(self, mixed: MixedItem, source: ItemSource) -> Target:  # noqa: ARG002
        """See `Query`."""
        target = self._named(source)
        if not self._is_known(target):
            raise QueryError("target", expected="a class that the weights have a mean of", found="none")
        return target

    def _named(self, source: ItemSource) -> Target:
        asking = Asking(only_detected=self.settings.only_detected)
        return targets_for_classes(
            self.engine.vocabulary, names=[node_of(source, self.engine.vocabulary)], asking=asking
        )[0]

    def _is_known(self, target: Target) -> bool:
        return self.name != "class-mean" or self.engine.class_mean(target) is not None

    def check(self, items: Sequence[Item]) -> None:
        """See `Query`; the engine would fall back to a detected condition where a class mean is missing."""
        targets = [self._named(source) for source in targets_of(items)]
        unknown = [target for target in targets if not self._is_known(target)]
        if unknown and not (self._allow_unknown and len(unknown) < len(targets)):
            raise WeightsError(
                "weights",
                expected="a class mean of each class (--allow-unknown counts the others as failed)",
                found=f"none of {unknown[0].key} and {len(unknown) - 1} more"
                if len(unknown) > 1
                else f"none of {unknown[0].key}",
            )


class ByText(Query):
    """The label as a free text."""

    name = "text"

    def target(self, mixed: MixedItem, source: ItemSource) -> Target:  # noqa: ARG002
        """See `Query`."""
        asking = Asking(only_detected=self.settings.only_detected)
        text = source.label.replace("_", " ")
        return target_for_text(self.engine.vocabulary, text=text, asking=asking)[0]


class ByIndex(Query):
    """One at the class's place of the condition, zero elsewhere."""

    name = "class-index"

    def __init__(self, engine: SeparationEngine, settings: SeparationSettings) -> None:
        super().__init__(engine, settings)
        classes = len(engine.vocabulary.classes)
        if engine.condition_size != classes:
            raise WeightsError(
                "weights, class-index query",
                expected=f"conditions of {classes} classes",
                found=f"{engine.condition_size} numbers",
            )

    def target(self, mixed: MixedItem, source: ItemSource) -> Target:  # noqa: ARG002
        """See `Query`."""
        node = node_of(source, self.engine.vocabulary)
        condition = torch.zeros(self.engine.condition_size)
        condition[self.engine.vocabulary.classes.index(node)] = 1.0
        return target_for_condition(node, condition=condition)


class ByCondition(Query):
    """A condition a label, made of the sounds of a training list.

    Parameters
    ----------
    engine : SeparationEngine
    settings : SeparationSettings
    name : str
    conditions : mapping of str to Tensor
        By label.
    """

    def __init__(
        self,
        engine: SeparationEngine,
        settings: SeparationSettings,
        *,
        name: str,
        conditions: Mapping[str, Tensor],
    ) -> None:
        super().__init__(engine, settings)
        self.name = name
        self.conditions = conditions

    def target(self, mixed: MixedItem, source: ItemSource) -> Target:  # noqa: ARG002
        """See `Query`."""
        return target_for_condition(source.label, condition=self.conditions[source.label])

    def check(self, items: Sequence[Item]) -> None:
        """See `Query`."""
        lacking = sorted({source.label for source in targets_of(items)} - self.conditions.keys())
        if lacking:
            raise ConfigError(
                f"{self.name} query", expected=f"{lacking[0]} in the training list", found="none"
            )


class RandomClass(Query):
    """The condition of a class that is not in the item: what a separator that hears its condition does badly."""

    name = RANDOM_CLASS

    def __init__(
        self, engine: SeparationEngine, settings: SeparationSettings, *, conditions: Mapping[str, Tensor]
    ) -> None:
        super().__init__(engine, settings)
        self.conditions = dict(sorted(conditions.items()))

    def target(self, mixed: MixedItem, source: ItemSource) -> Target:
        """See `Query`; the same class each time."""
        names = list(self.conditions)
        rng = generator(mixed.item.seed, mixed.item.item_id, source.label)
        for _ in range(_TRIES):
            name = names[rng.integers(len(names))]
            if not any(self._is_like(name, other) for other in mixed.item.sources):
                return target_for_condition(source.label, condition=self.conditions[name])
        raise QueryError(mixed.item.item_id, expected="a class that is not in it", found="none")

    def _is_like(self, name: str, source: ItemSource) -> bool:
        nodes = self.engine.vocabulary.ontology.nodes
        if name in (source.label, source.class_id):
            return True
        return (
            name in nodes
            and source.class_id in nodes
            and self.engine.vocabulary.ontology.related(name, str(source.class_id))
        )


def targets_of(items: Sequence[Item]) -> list[ItemSource]:
    """Give a source of each label that is asked for."""
    return list({source.label: source for item in items for source in item.targets}.values())


def node_of(source: ItemSource, vocabulary: Vocabulary) -> str:
    """Find the ontology node of a source, by its label where the data do not say it.

    Raises
    ------
    ConfigError
        If the label is no node's.
    """
    if source.class_id is not None:
        return source.class_id
    try:
        return vocabulary.resolve_text(source.label.replace("_", " ")).node.node_id
    except QueryError as error:
        expected = "a class of the ontology, or a training list (--train-list)"
        raise ConfigError(f"label {source.label}", expected=expected, found=error.found) from error


def conditions_of_list(
    listed: EvaluationList,
    sounds: SoundShelf,
    *,
    engine: SeparationEngine,
    settings: SeparationSettings,
    most: int | None = None,
) -> dict[str, Tensor]:
    """Make the condition of each label of a training list, as the mean over its targets.

    Parameters
    ----------
    listed : EvaluationList
    sounds : SoundShelf
    engine : SeparationEngine
    settings : SeparationSettings
    most : int, optional
        Targets a label; None: all.
    """
    by_label: dict[str, list[tuple[Item, ItemSource]]] = {}
    for item in listed.items:
        for source in item.targets:
            by_label.setdefault(source.label, []).append((item, source))
    conditions = {}
    for label, own in by_label.items():
        examples = []
        for item, source in own[:most]:
            sound, rate = sounds.piece(source, sample_rate=item.sample_rate, protocol=item.protocol)
            examples.append(ArraySource(sound, sample_rate=rate, name=source.path))
        conditions[label] = engine.condition_of_examples(examples, settings=settings)
    return conditions
