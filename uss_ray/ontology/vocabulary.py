"""The vocabulary of a tagger: the ontology together with the classes it was trained on.

Owns which nodes can be separated, which class indexes a node stands for, and how a name or a text finds its node.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uss_ray.errors import DataError, QueryError
from uss_ray.ontology.classes import ClassList
from uss_ray.ontology.graph import Node, Ontology
from uss_ray.ontology.matching import (
    ScoredNode,
    TextIndex,
    load_everyday_words,
    load_other_names,
    split_synonyms,
)

MIN_TEXT_SCORE = 0.45
MIN_PART_SCORE = 0.6
MIN_WORD_SCORE = 0.9
TIE_SHARE = 0.97
RUNNERS_UP = 5
NEAR_MISSES = 3

UNION_JOINT = " + "
"""Between the labels of sounds that are one stem together, in its label."""

_JOINTS = re.compile(r",|&|\+|\band\b|\bor\b|\bplus\b|\bwith\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TextMatch:
    """What a text was resolved to.

    Attributes
    ----------
    node : Node
        The best fitting node.
    score : float
        In (0, 1]; 1 when text and label say the same.
    runners_up : tuple of ScoredNode
        The next best, best first.
    """

    node: Node
    score: float
    runners_up: tuple[ScoredNode, ...]


class Vocabulary:
    """An ontology and the trained classes in it.

    Parameters
    ----------
    ontology : Ontology
        All nodes.
    classes : ClassList
        The tagger's classes; its indexes are the columns of the tagger's output.

    Raises
    ------
    DataError
        If a class is not a node of the ontology.

    Examples
    --------
    >>> vocabulary = Vocabulary.load()
    >>> cat = vocabulary.resolve("cat")
    >>> [vocabulary.classes.labels[class_index] for class_index in vocabulary.class_indexes(cat.node_id)]
    ['Growling', 'Cat', 'Purr', 'Meow', 'Hiss', 'Caterwaul']
    """

    def __init__(self, ontology: Ontology, classes: ClassList) -> None:
        strangers = [class_id for class_id in classes.ids if class_id not in ontology.nodes]
        if strangers:
            raise DataError(
                classes.name,
                expected="class ids that are nodes of the ontology",
                found=f"{strangers[0]} ({classes.labels[classes.index(strangers[0])]}), "
                f"one of {len(strangers)} that are not",
            )
        self.ontology = ontology
        self.classes = classes
        self._class_indexes: dict[str, tuple[int, ...]] = {}

    @classmethod
    def load(
        cls, *, ontology_path: str | Path | None = None, classes_path: str | Path | None = None
    ) -> Vocabulary:
        """Read an ontology and a class list; None takes AudioSet's. Raises DataError as their readers do."""
        return cls(Ontology.load(ontology_path), ClassList.load(classes_path))

    def class_indexes(self, node_id: str) -> tuple[int, ...]:
        """Return the trained classes of a node's subtree, itself included, sorted, each once.

        Raises
        ------
        QueryError
            If the ontology has no such id.
        """
        if node_id not in self._class_indexes:
            indexes = (
                self.classes.index(node.node_id)
                for node in self.ontology.descendants(node_id)
                if node.node_id in self.classes
            )
            self._class_indexes[node_id] = tuple(sorted(set(indexes)))
        return self._class_indexes[node_id]

    def class_mask(self, node_id: str) -> NDArray[np.bool_]:
        """Mark the trained classes of a node's subtree.

        Returns
        -------
        ndarray of shape (classes,), dtype=bool
            True where the class belongs to the subtree.

        Raises
        ------
        QueryError
            If the ontology has no such id.
        """
        mask = np.zeros(len(self.classes), dtype=np.bool_)
        mask[list(self.class_indexes(node_id))] = True
        return mask

    def subtrees(self) -> NDArray[np.bool_]:
        """Tell which classes each class holds: (classes, classes), true in row c at the classes of c's subtree."""
        return np.stack([self.class_mask(class_id) for class_id in self.classes.ids])

    def relatives(self) -> NDArray[np.bool_]:
        """Tell which classes are the same, or hold one another: (classes, classes), symmetric, true on the diagonal."""
        holds = self.subtrees()
        related: NDArray[np.bool_] = holds | holds.T | np.eye(len(holds), dtype=np.bool_)
        return related

    def is_separable(self, node_id: str) -> bool:
        """Tell whether a node's subtree holds a trained class. Raises QueryError for an unknown id."""
        return bool(self.class_indexes(node_id))

    def separable_nodes(self, level: int) -> tuple[Node, ...]:
        """Return the nodes of a level that can be separated, each once, in the order of the ontology.

        Raises
        ------
        QueryError
            If the ontology has no such level.
        """
        return tuple(node for node in self.ontology.at_level(level) if self.is_separable(node.node_id))

    def resolve(self, name: str | int) -> Node:
        """Find the separable node that a name stands for.

        Parameters
        ----------
        name : str or int
            A class index (an int or digits), a node id, or a label of the ontology or the class list in any case.

        Returns
        -------
        Node
            The node.

        Raises
        ------
        QueryError
            If nothing has this name, several nodes share the label, or the node has no trained class in its subtree.
        """
        node = self._find(name)
        if not self.is_separable(node.node_id):
            raise QueryError(
                _shown(node), expected="a node with a trained class in its subtree", found="none there"
            )
        return node

    def _find(self, name: str | int) -> Node:
        text = str(name).strip()
        if isinstance(name, int) or (text.isascii() and text.isdecimal()):
            _check_class_index(int(text), self.classes)
            return self.ontology.node(self.classes.ids[int(text)])
        if text in self.ontology.nodes:
            return self.ontology.node(text)
        named = self._labels.get(text.casefold(), ())
        if len(named) > 1:
            raise QueryError(
                text, expected="a label of one node; give its id", found=", ".join(map(_shown, named))
            )
        if not named:
            expected = f"a class index from 0 to {len(self.classes) - 1}, a node id or a label"
            found = "no such name" if text else "an empty name"
            raise QueryError(text or "query", expected=expected + _hint(self._near_labels(text)), found=found)
        return named[0]

    def resolve_text(self, text: str, *, prefers: Callable[[str], bool] | None = None) -> TextMatch:
        """Find the separable node that a free text names.

        Parameters
        ----------
        text : str
            A few English words, such as "dog barking"; their order does not count.
        prefers : callable, optional
            Tells of a node id whether it wins a tie, for instance because the weights know it.

        Returns
        -------
        TextMatch
            The node, its score and the next best.

        Raises
        ------
        QueryError
            If nothing fits well enough, several unrelated nodes fit equally well, or the text names two sounds. It says
            which nodes are near.
        """
        ranked = self._text_index.rank(text)
        named = self._labels.get(text.strip().casefold(), ())
        if len(named) == 1 and self.is_separable(named[0].node_id):
            others = [candidate for candidate in ranked if candidate.node != named[0]]
            return TextMatch(named[0], 1.0, tuple(others[:RUNNERS_UP]))
        if not ranked or ranked[0].score < MIN_TEXT_SCORE:
            near = [_shown(candidate.node) for candidate in ranked[:NEAR_MISSES]] or self._near_labels(text)
            expected = "words that name a class that can be separated"
            raise QueryError(
                text or "empty text", expected=expected + _hint(near), found="no class that fits well"
            )
        rivals = [one for one in ranked if one.score >= TIE_SHARE * ranked[0].score]
        if prefers is not None:
            rivals = [one for one in rivals if prefers(one.node.node_id)] or rivals
        best = rivals[0]
        if not all(self.ontology.related(best.node.node_id, one.node.node_id) for one in rivals):
            expected = "a text that fits one class best; say more or give an id"
            raise QueryError(text, expected=expected, found=_listed(rivals))
        if others := self._second_sounds(text, best):
            raise QueryError(
                text, expected="the name of one sound; ask for each", found=_listed([best, *others])
            )
        return TextMatch(best.node, best.score, tuple(one for one in ranked if one != best)[:RUNNERS_UP])

    def _second_sounds(self, text: str, best: ScoredNode) -> list[ScoredNode]:
        """Find what else a text names: sounds that words name which the best node leaves over."""
        weights, parts = self._text_index.weigh(text), _JOINTS.split(text)
        if len(parts) > 1:
            least = MIN_PART_SCORE
            if best.named_by.issuperset(weights):  # "dishes, pots and pans"
                return []
        else:  # "cat dog" are two sounds, "dripping water" is one
            least = MIN_WORD_SCORE
            things = {word for word, weight in weights.items() if weight == max(weights.values())}
            parts = sorted(things - best.named_by) if things & best.named_by else []
        tops = [ranking[0] for part in parts if (ranking := self._text_index.rank(part))]
        return [
            top
            for top in tops
            if top.score >= least and not self.ontology.related(best.node.node_id, top.node.node_id)
        ]

    @cached_property
    def _labels(self) -> dict[str, tuple[Node, ...]]:
        """Casefolded label of the ontology or the class list -> its nodes."""
        named: dict[str, dict[str, Node]] = {}
        for node in self.ontology.nodes.values():
            named.setdefault(node.label.casefold(), {})[node.node_id] = node
        for class_id, label in zip(self.classes.ids, self.classes.labels, strict=True):
            named.setdefault(label.casefold(), {})[class_id] = self.ontology.node(class_id)
        return {label: tuple(nodes.values()) for label, nodes in named.items()}

    @cached_property
    def _text_index(self) -> TextIndex:
        candidates = [node for node in self.ontology.nodes.values() if self.is_separable(node.node_id)]
        return TextIndex(
            self.ontology,
            candidates=candidates,
            everyday_words=load_everyday_words(),
            other_names=load_other_names(),
        )

    def _near_labels(self, text: str) -> list[str]:
        """Labels spelt nearly like the text, best first."""
        spoken = {
            part.casefold(): node.label
            for node in self.ontology.nodes.values()
            for part in (node.label, *split_synonyms(node.label))
        }
        near = difflib.get_close_matches(text.casefold(), spoken, n=NEAR_MISSES)
        return list(dict.fromkeys(spoken[part] for part in near))


def _check_class_index(class_index: int, classes: ClassList) -> None:
    if not 0 <= class_index < len(classes):
        raise QueryError(
            f"class index {class_index}",
            expected=f"an index from 0 to {len(classes) - 1}",
            found=str(class_index),
        )


def _hint(labels: list[str]) -> str:
    return f" (near: {', '.join(labels)})" if labels else ""


def _listed(candidates: Iterable[ScoredNode]) -> str:
    return ", ".join([_shown(candidate.node) for candidate in candidates][: RUNNERS_UP + 1])


def _shown(node: Node) -> str:
    return f"{node.label} ({node.node_id})"
