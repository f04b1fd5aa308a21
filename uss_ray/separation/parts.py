"""What is separated so that all levels can be made of it: the most specific classes that sound, once each.

A stem of a level is the sum of its parts. A part belongs to one stem of a level, so that nothing is subtracted twice;
which one is the same wherever and whenever the part sounds (docs/adr/0038).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.targets import Target


@dataclass(frozen=True)
class Parts:
    """What is to be separated in a segment, and which stems it makes.

    Attributes
    ----------
    separated : list of Target
        Those that share the mixture first.
    sharing : int
        How many these are.
    stems : list of Target
        In the order of the plan.
    of_stem : list of tuple of int
        For each stem, the places of what it sums in `separated`; empty of a stem that is everything.
    held_by : ndarray of shape (targets,), dtype=int16
        For each target of the plan, which one's stem holds its sound: mostly its own. -1 of those that are not active.
    """

    separated: list[Target]
    sharing: int
    stems: list[Target]
    of_stem: list[tuple[int, ...]]
    held_by: NDArray[np.int16]


class Composer:
    """Choose the parts of each segment.

    Parameters
    ----------
    targets : sequence of Target
        Of a plan.
    vocabulary : Vocabulary
    sums : bool, default=True
        False: each target is a part of its own, and shares with nobody.
    steers : callable, optional
        Tells whether something steers the separator to a target; what nothing steers to is no part. None: all are.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        vocabulary: Vocabulary,
        sums: bool = True,
        steers: Callable[[Target], bool] | None = None,
    ) -> None:
        self._targets = targets
        self._vocabulary = vocabulary
        self._sums = sums
        self._owners = {
            (target.group, index): column
            for column, target in enumerate(targets)
            for index in target.owned_indexes or ()
        }
        self._of_class: dict[int, Target] = {}
        self._steers = steers
        self._is_part: dict[int, bool] = {}

    def choose(self, active: NDArray[np.bool_], *, sounds: NDArray[np.bool_]) -> Parts:
        """Choose them for one segment.

        Parameters
        ----------
        active : ndarray of shape (targets,), dtype=bool
            What is to be separated.
        sounds : ndarray of shape (classes,), dtype=bool
            Which classes are detected.

        Returns
        -------
        Parts
        """
        columns = np.flatnonzero(active).tolist()
        composed = [
            column for column in columns if self._sums and self._targets[column].owned_indexes is not None
        ]
        classes = self._most_specific(composed, sounds)
        owned: dict[int, list[int]] = {column: [] for column in composed}
        held_by = np.full(len(self._targets), -1, np.int16)
        for column in composed:
            for place, index in enumerate(classes):
                if index in self._targets[column].class_indexes:
                    owner = self._owner(index, column, composed)
                    if owner == column:
                        owned[column].append(place)
                    if held_by[column] in (-1, column) or owner == column:
                        held_by[column] = owner
        alone = [column for column in composed if held_by[column] == -1]
        for place, column in enumerate(alone, start=len(classes)):
            owned[column] = [place]
        sharing = len(classes) + len(alone)
        separated = [self._class(index) for index in classes] + [self._targets[column] for column in alone]
        stems: list[Target] = []
        of_stem: list[tuple[int, ...]] = []
        for column in columns:
            target = self._targets[column]
            if column not in owned:
                of_stem.append(() if target.is_everything else (len(separated),))
                separated += [] if target.is_everything else [target]
            elif owned[column]:
                of_stem.append(tuple(owned[column]))
            else:
                continue
            held_by[column] = column
            stems.append(target)
        return Parts(separated, sharing, stems, of_stem, held_by)

    def _most_specific(self, composed: Sequence[int], sounds: NDArray[np.bool_]) -> list[int]:
        """Find the classes that sound, of some targets, but for those of which something more specific sounds."""
        found: set[int] = set()
        for column in composed:
            target = self._targets[column]
            found.update(index for index in target.class_indexes if index < len(sounds) and sounds[index])
            if not target.is_gated:
                found.update(target.own_indexes)
        found = {index for index in found if self._can_be_part(index)}
        return sorted(index for index in found if not found.intersection(self._below(index)))

    def _can_be_part(self, index: int) -> bool:
        if self._steers is None:
            return True
        if index not in self._is_part:
            self._is_part[index] = self._steers(self._class(index))
        return self._is_part[index]

    def _below(self, index: int) -> set[int]:
        return set(self._class(index).class_indexes).difference((index,))

    def _owner(self, index: int, column: int, composed: Sequence[int]) -> int:
        """Tell which stem of a level a class goes to: the one it belongs to, if that sounds, or the first with it."""
        group = self._targets[column].group
        owner = self._owners.get((group, index))
        if owner is not None and owner in composed:
            return owner
        return next(
            other
            for other in composed
            if self._targets[other].group == group and index in self._targets[other].class_indexes
        )

    def _class(self, index: int) -> Target:
        if index not in self._of_class:
            classes = self._vocabulary.classes
            node_id = classes.ids[index]
            self._of_class[index] = Target(
                key=node_id,
                label=classes.labels[index],
                class_indexes=tuple(self._vocabulary.class_indexes(node_id)),
                own_indexes=(index,),
            )
        return self._of_class[index]
