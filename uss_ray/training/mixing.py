"""What a training item is made of: target, partners, condition, augmentation; as pure as the plan it stands on.

Partners are looked for among the anchors that the lane draws for this step and the next few, so that what is read for
one item serves others too. An item for which none fits is the target alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from uss_ray.anchors.catalogue import AnchorCatalogue
from uss_ray.training.plan import DrawPlan, counter_generator
from uss_ray.training.recipe import MixtureSettings

ItemCondition = Literal["own", "masked", "class-mean"]
_ABSENT_TRIES = 32
_PARTNER_STEPS = 16


@dataclass(frozen=True, kw_only=True)
class Item:
    """One training item; anchors are rows of the catalogue.

    Parameters
    ----------
    step, lane, place : int
        Where in the run it stands.
    target : int
    twin : int or None
        A second event of the target's class.
    partners : tuple of int
    texture : int or None
    condition : {"own", "masked", "class-mean"}
    condition_class : int
        The class that is asked for: the target's, or one that is not there.
    is_absent : bool
        Whether what is asked for is not there.
    example : int or None
        Another anchor of the class that is asked for, which a query net hears where there is no class mean.
    companion : int or None
        A source of another class that is part of the target, and asked for with it.
    companion_class : int
        Its class; -1 where there is none.
    companion_example : int or None
        As `example`, of its class.
    """

    step: int
    lane: int
    place: int
    target: int
    twin: int | None
    partners: tuple[int, ...]
    texture: int | None
    condition: ItemCondition
    condition_class: int
    is_absent: bool
    example: int | None = None
    companion: int | None = None
    companion_class: int = -1
    companion_example: int | None = None

    @property
    def anchors(self) -> tuple[int, ...]:
        """All that sounds in it, the target first."""
        more = (self.twin, self.companion, *self.partners, self.texture)
        return (self.target, *(row for row in more if row is not None))

    @property
    def asked(self) -> tuple[tuple[int, int], ...]:
        """What is asked for: each class, and the anchor whose bottleneck or sound may describe it."""
        asked = ((self.condition_class, self.target if self.example is None else self.example),)
        if self.companion is None:
            return asked
        other = self.companion if self.companion_example is None else self.companion_example
        return (*asked, (self.companion_class, other))

    def generator(self, seed: int, purpose: str) -> np.random.Generator:
        """Make its random numbers for one purpose."""
        return counter_generator(seed, purpose, self.step, self.lane, self.place)


class MixturePlan:
    """The items of every step.

    Parameters
    ----------
    catalogue : AnchorCatalogue
    draws : DrawPlan
    settings : MixtureSettings
    related : ndarray of shape (classes, classes), dtype=bool
        From `Vocabulary.relatives`.
    by_example : bool, default=False
        Whether items that would ask by a class mean ask by another anchor of the class.
    """

    def __init__(
        self,
        catalogue: AnchorCatalogue,
        draws: DrawPlan,
        *,
        settings: MixtureSettings,
        related: NDArray[np.bool_],
        by_example: bool = False,
    ) -> None:
        self.settings = settings
        self.draws = draws
        self._catalogue = catalogue
        self._related = related
        self._by_example = by_example
        self._seed = draws.settings.seed
        self._classes = np.array(catalogue.classes)

    def items(self, step: int, lane: int) -> list[Item]:
        """Give the items of a lane in a step."""
        drawn = self.draws.anchors(step, lane)
        return [self._item(step, lane, place, drawn) for place in range(len(drawn))]

    def share_alone(self, steps: int) -> float:
        """Tell how many of the items of the first lane in some steps find no partner, as a share."""
        items = [item for step in range(steps) for item in self.items(step, 0)]
        return sum(not item.partners for item in items) / len(items)

    def conflicts(self, one: int, other: int) -> bool:
        """Tell whether one of two anchors may hold what the other one stands for."""
        catalogue = self._catalogue
        if catalogue.recordings[one] == catalogue.recordings[other]:
            return True
        labels, other_labels = catalogue.labels.of(one), catalogue.labels.of(other)
        if self._related[np.ix_(labels, other_labels)].any():
            return True
        return self._may_hold(one, int(catalogue.class_indexes[other])) or self._may_hold(
            other, int(catalogue.class_indexes[one])
        )

    def _may_hold(self, row: int, class_index: int) -> bool:
        related = self._related[class_index]
        catalogue = self._catalogue
        return bool(
            related[catalogue.class_indexes[row]]
            or related[catalogue.labels.of(row)].any()
            or (self.settings.partners != "labels" and related[catalogue.heard.of(row)].any())
        )

    def _item(self, step: int, lane: int, place: int, drawn: NDArray[np.int64]) -> Item:
        settings = self.settings
        dice = counter_generator(self._seed, "item", step, lane, place)
        target = int(drawn[place])
        index = int(self._catalogue.class_indexes[target])
        shares = (settings.two_sources, settings.three_sources, settings.four_sources)
        wanted = 1 + int(dice.choice(len(shares), p=shares))
        has_texture = bool(dice.random() < settings.textures)
        is_couple = wanted > 1 and self._is_couple(step, lane, place)
        found = self._partners(step, lane, place, drawn, count=wanted + has_texture, is_couple=is_couple)
        has_texture = has_texture and len(found) > 1
        partners = tuple(found[: len(found) - has_texture])
        paired = is_couple and len(partners) > 1
        twin = None
        if dice.random() < settings.twins:
            twin = self._twin(target, dice, beside=found[paired:])  # the companion is asked for too
        condition, absent = self._condition(dice), None
        if dice.random() < settings.absent:
            absent = self._absent_class((target, *found, *([] if twin is None else [twin])), dice)
        if absent is not None:
            condition, index = "class-mean", absent
        hears_examples = self._by_example and condition == "class-mean"
        companion = partners[0] if paired and absent is None else None
        companion_class = -1 if companion is None else int(self._catalogue.class_indexes[companion])
        return Item(
            step=step,
            lane=lane,
            place=place,
            target=target,
            twin=twin,
            partners=partners if companion is None else partners[1:],
            texture=found[-1] if has_texture else None,
            condition=condition,
            condition_class=index,
            is_absent=absent is not None,
            example=self._example(index, not_of=target, key=(step, lane, place)) if hears_examples else None,
            companion=companion,
            companion_class=companion_class,
            companion_example=self._example(companion_class, not_of=companion, key=(step, lane, place))
            if hears_examples and companion is not None
            else None,
        )

    def _is_couple(self, step: int, lane: int, place: int) -> bool:
        # Dice of its own: what is drawn without couples stays as it was.
        dice = counter_generator(self._seed, "couple", step, lane, place)
        return bool(dice.random() < self.settings.couples)

    def _partners(
        self, step: int, lane: int, place: int, drawn: NDArray[np.int64], *, count: int, is_couple: bool
    ) -> list[int]:
        """Find partners among the next in the lane, beginning with the ring of this step.

        Of a couple, the first one belongs to the target, and the others must not hold it either.
        """
        target = int(drawn[place])
        if self.settings.partners == "clip":
            return self._others_of_clip(target, key=(step, lane, place))[:count]
        found: list[int] = []
        for later in range(_PARTNER_STEPS):
            candidates = (
                [*drawn[place + 1 :].tolist(), *drawn[:place].tolist()]
                if not later
                else self.draws.anchors(step + later, lane).tolist()
            )
            for candidate in candidates:
                is_free = candidate != target and candidate not in found
                wanted = (target, *found[:is_couple])
                if is_free and (
                    self.settings.partners == "any"
                    or not any(self.conflicts(one, candidate) for one in wanted)
                ):
                    found.append(candidate)
                    if len(found) == count:
                        return found
        return found

    def _others_of_clip(self, target: int, *, key: tuple[int, int, int]) -> list[int]:
        """Give the other anchors of a clip that stand for the same class, in a drawn order; they do not overlap."""
        clips, classes = self._catalogue.clips, self._catalogue.class_indexes
        first, after = (
            np.searchsorted(clips, clips[target], side, sorter=self._by_clip) for side in ("left", "right")
        )
        rows = self._by_clip[first:after]
        others = rows[(rows != target) & (classes[rows] == classes[target])]
        return counter_generator(self._seed, "clip", *key).permutation(others).tolist()

    @cached_property
    def _by_clip(self) -> NDArray[np.int64]:
        return np.argsort(self._catalogue.clips, kind="stable")

    def _twin(self, target: int, dice: np.random.Generator, *, beside: Sequence[int]) -> int | None:
        """Choose an anchor of the target's row group, of another recording, that suits what is beside the target."""
        catalogue = self._catalogue
        groups = catalogue.groups_of(int(catalogue.class_indexes[target]))
        group = int(np.searchsorted(groups.first, target, side="right")) - 1
        rows = groups.first[group] + dice.permutation(groups.rows[group])
        others = rows[catalogue.recordings[rows] != catalogue.recordings[target]].tolist()
        if self.settings.partners in ("any", "clip"):  # which do not ask what sounds in a partner
            return next(iter(others), None)
        return next((row for row in others if not any(self.conflicts(row, one) for one in beside)), None)

    def _example(self, class_index: int, *, not_of: int, key: tuple[int, int, int]) -> int:
        """Choose an anchor of a class, of another recording than a target if there is one in its row group."""
        groups, recordings = self._catalogue.groups_of(class_index), self._catalogue.recordings
        dice = counter_generator(self._seed, "example", *key)
        group = int(dice.integers(len(groups.first)))
        rows = groups.first[group] + dice.permutation(groups.rows[group])
        others = rows[recordings[rows] != recordings[not_of]]
        return int(others[0] if len(others) else rows[0])

    def _condition(self, dice: np.random.Generator) -> ItemCondition:
        shares = self.settings.conditions
        number = dice.random()
        if number < shares.own:
            return "own"
        return "masked" if number < shares.own + shares.masked else "class-mean"

    def _absent_class(self, rows: tuple[int, ...], dice: np.random.Generator) -> int | None:
        for candidate in dice.permutation(self._classes)[:_ABSENT_TRIES].tolist():
            if not any(self._may_hold(row, candidate) for row in rows):
                return int(candidate)
        return None
