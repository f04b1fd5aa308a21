"""What to separate: ontology nodes, unions of them, audio queries, and everything but something.

Owns the keys and labels of targets. Whether a target sounds, and what steers the separator to it, is decided elsewhere.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from torch import Tensor

from uss_ray.errors import QueryError
from uss_ray.ontology.graph import Node
from uss_ray.ontology.known import KnownNodes
from uss_ray.ontology.published import published_tree_levels
from uss_ray.ontology.vocabulary import UNION_JOINT, TextMatch, Vocabulary
from uss_ray.separation.settings import Hierarchy

EVENTS: Final = 0
"""What stands for the events where levels are told apart."""


@dataclass(frozen=True, eq=False)
class Target:
    """One thing to separate.

    Parameters
    ----------
    key : str
        Node id, or `query:<name>`; unique among the targets of a run.
    label : str
        Display name.
    level : int or None, default=None
        Level of an ontology node that was asked for as part of its level, or as an event; None of any other query.
    class_indexes : tuple of int, default=()
        Trained classes whose probabilities say whether the target sounds, sorted.
    own_indexes : tuple of int, default=()
        Those of them that the query names itself, without their descendants; empty of a node that is not trained.
    owned_indexes : tuple of int, optional
        Those of them whose sound it has to itself among the targets of its group, each of which has other ones. None:
        a target that shares with nobody.
    condition : Tensor of shape (condition_size,), optional
        What steers the separator, instead of a condition made from `class_indexes`.
    is_gated : bool, default=True
        Whether it is separated only where its classes are detected. Otherwise wherever there is sound: whoever asks
        for a sound by its name knows that it is there.
    is_known : bool, default=True
        Whether the weights were trained on any of its classes. What they never learned has no probability, and a gate
        never opens for it.
    is_separable : bool, default=True
        Whether the weights can be steered to it. Another is heard and told of, and never separated.
    is_event : bool, default=False
        Whether it is one of the events, which share a mixture among them whatever their levels.
    specific_keys : tuple of str, default=()
        Targets that are more specific: with a gate, it is separated only where none of them is detected.

    Notes
    -----
    A target without class indexes, or with a condition of its own, sounds wherever there is sound, whatever `is_gated`
    says. One without class indexes and condition is all the sound there is, which makes sense together with an
    exclusion.
    """

    key: str
    label: str
    level: int | None = None
    class_indexes: tuple[int, ...] = ()
    own_indexes: tuple[int, ...] = ()
    owned_indexes: tuple[int, ...] | None = None
    condition: Tensor | None = None
    is_gated: bool = True
    is_known: bool = True
    is_separable: bool = True
    is_event: bool = False
    specific_keys: tuple[str, ...] = ()

    @property
    def group(self) -> int | None:
        """With whom it shares a mixture: those of its level, the events (0), or nobody (None)."""
        return EVENTS if self.is_event else self.level

    @property
    def is_everything(self) -> bool:
        """Whether this is all the sound there is."""
        return self.condition is None and not self.class_indexes


@dataclass(frozen=True)
class Asking:
    """How what is asked for by name or words is taken.

    Parameters
    ----------
    only_detected : bool, default=False
        Separate it only where it is detected, as the nodes of a level are.
    known : KnownNodes, optional
        What the weights know. None: everything.
    allow_unknown : bool, default=False
        Separate what the weights do not know all the same.
    """

    only_detected: bool = False
    known: KnownNodes | None = None
    allow_unknown: bool = False


@dataclass(frozen=True, eq=False)
class SeparationPlan:
    """What is wanted of a recording, and what no estimate may hold.

    Parameters
    ----------
    targets : tuple of Target
        With unique keys. None of them: all the sound but what is excluded, as one target.
    exclude : tuple of Target, default=()

    Raises
    ------
    QueryError
        If there is nothing to separate, a key comes twice, or everything is excluded.
    """

    targets: tuple[Target, ...]
    exclude: tuple[Target, ...] = ()

    def __post_init__(self) -> None:
        targets = tuple(self.targets) or (target_for_rest(self.exclude),)
        object.__setattr__(self, "targets", targets)
        object.__setattr__(self, "exclude", tuple(self.exclude))
        keys = [target.key for target in targets]
        twice = (
            next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
        )
        if twice is not None:
            raise QueryError(twice, expected="each target once", found="the same key again")
        pointless = next((target for target in self.exclude if target.is_everything), None)
        if pointless is not None:
            raise QueryError(
                pointless.label, expected="a class or an audio query to exclude", found="everything"
            )

    @functools.cached_property
    def excluded_indexes(self) -> tuple[int, ...]:
        """All classes of all exclusions, sorted."""
        return _merge(target.class_indexes for target in self.exclude)


def targets_for_levels(
    vocabulary: Vocabulary,
    *,
    levels: Iterable[int],
    hierarchy: Hierarchy = "graph",
    known: KnownNodes | None = None,
) -> tuple[Target, ...]:
    """Give one target for each separable node of ontology levels.

    Parameters
    ----------
    vocabulary : Vocabulary
    levels : iterable of int
        Roots are 1.
    hierarchy : {"graph", "published"}, default="graph"
        Whose levels and subtrees: the ontology's own, or those of the released program's tree.
    known : KnownNodes, optional
        What the weights know. None: everything.

    Returns
    -------
    tuple of Target
        By level in the order given, within a level in the order of the ontology; gated, those that are not known
        among them.

    Raises
    ------
    QueryError
        If a level has no node with a trained class.
    """
    targets: list[Target] = []
    for level in dict.fromkeys(levels):
        found = _published_level(vocabulary, level) if hierarchy == "published" else _level(vocabulary, level)
        if not found:
            raise QueryError(
                f"level {level}", expected="an ontology level with trained classes", found="none"
            )
        targets.extend(_share_out(found, vocabulary=vocabulary))
    if known is None:
        return tuple(targets)
    return tuple(replace(target, is_known=known.knows(target.class_indexes)) for target in targets)


def targets_for_events(vocabulary: Vocabulary, *, known: KnownNodes | None = None) -> tuple[Target, ...]:
    """Give one target for each node that can be an event by itself.

    Those are the nodes that a tagger has a class of their own for, but for those that AudioSet marks as `abstract`,
    which only hold others together, or as `blacklist`, which raters could not tell: their sound is that of the node
    above.

    Parameters
    ----------
    vocabulary : Vocabulary
    known : KnownNodes, optional
        What the weights know. None: everything.

    Returns
    -------
    tuple of Target
        In the order of the ontology; gated, each with the more specific ones below it.

    Raises
    ------
    QueryError
        If there is none.
    """
    nodes = [
        node
        for node in vocabulary.ontology.nodes.values()
        if node.node_id in vocabulary.classes and not node.restrictions
    ]
    if not nodes:
        raise QueryError("events", expected="classes that are no abstract nodes", found="none")
    events = {node.node_id for node in nodes}
    targets = []
    for node in nodes:
        target = _target_for_node(vocabulary, node, level=node.level)
        below = [one.node_id for one in vocabulary.ontology.descendants(node.node_id)[1:]]
        targets.append(
            replace(
                target,
                is_event=True,
                is_known=known is None or known.knows(target.class_indexes),
                specific_keys=tuple(key for key in below if key in events),
            )
        )
    return tuple(_share_out(targets, vocabulary=vocabulary))


def targets_for_classes(
    vocabulary: Vocabulary,
    *,
    names: Sequence[str],
    union: bool = False,
    asking: Asking | None = None,
) -> tuple[Target, ...]:
    """Give one target for each named class or node, or one for all of them.

    Parameters
    ----------
    vocabulary : Vocabulary
    names : sequence of str
        Class indexes, ids or labels, as `Vocabulary.resolve` takes them.
    union : bool, default=False
        One target that holds them all.
    asking : Asking, optional
        None: separated wherever there is sound, by weights that know everything.

    Returns
    -------
    tuple of Target
        In the order of the names, each node once.

    Raises
    ------
    QueryError
        If there is no name, or a name stands for nothing, has no trained class, or none that the weights know.
    """
    asking = asking or Asking()
    nodes = list({node.node_id: node for node in map(vocabulary.resolve, names)}.values())
    if not nodes:
        raise QueryError("classes", expected="one name or more", found="none")
    targets = tuple(_asked_for(vocabulary, node, asking) for node in nodes)
    if not union or len(targets) == 1:
        return targets
    label = UNION_JOINT.join(target.label for target in targets)
    union_target = Target(
        key=query_key(label),
        label=label,
        class_indexes=_merge(target.class_indexes for target in targets),
        own_indexes=_merge(target.own_indexes for target in targets),
        is_gated=asking.only_detected,
        is_known=any(target.is_known for target in targets),
    )
    return (union_target,)


def target_for_text(
    vocabulary: Vocabulary, *, text: str, asking: Asking | None = None
) -> tuple[Target, TextMatch]:
    """Give the target that a free text describes, and how it was understood.

    Parameters
    ----------
    vocabulary : Vocabulary
    text : str
    asking : Asking, optional
        As of `targets_for_classes`.

    Returns
    -------
    target : Target
    match : TextMatch
        The node, its score and the runners-up.

    Raises
    ------
    QueryError
        If the text fits nothing, several nodes equally well, or one that the weights do not know.
    """
    asking = asking or Asking()
    match = (asking.known or vocabulary).resolve_text(text)
    return _asked_for(vocabulary, match.node, asking), match


def target_for_condition(name: str, *, condition: Tensor) -> Target:
    """Give the target of an audio query.

    Parameters
    ----------
    name : str
        What to call it, for instance the folder of the example clips.
    condition : Tensor of shape (condition_size,)
        As `conditions.condition_of_examples` makes it.

    Returns
    -------
    Target
        Active wherever there is sound.

    Raises
    ------
    QueryError
        If the condition is not one finite vector.
    """
    if condition.ndim != 1 or not bool(condition.isfinite().all()):
        raise QueryError(
            name, expected="one finite vector as condition", found=f"shape {tuple(condition.shape)}"
        )
    return Target(key=query_key(name), label=name, condition=condition, is_gated=False)


def target_for_rest(exclude: Sequence[Target]) -> Target:
    """Give the target of a negative query alone: everything but what is excluded.

    Raises
    ------
    QueryError
        If nothing is excluded.
    """
    if not exclude:
        raise QueryError("exclude", expected="one class or more", found="none")
    names = " + ".join(target.label for target in exclude)
    return Target(key=query_key(f"without {names}"), label=f"Everything but {names}", is_gated=False)


def query_key(name: str) -> str:
    """Give the key of a query that is no ontology node.

    Examples
    --------
    >>> query_key("without Dog + Speech")
    'query:without-dog-speech'
    """
    words = re.findall(r"\w+", name.casefold())
    return "query:" + ("-".join(words) or "unnamed")


def _asked_for(vocabulary: Vocabulary, node: Node, asking: Asking) -> Target:
    target = _target_for_node(vocabulary, node, level=None)
    is_known = asking.known is None or asking.known.knows(target.class_indexes)
    if asking.known is not None and not is_known and not asking.allow_unknown:
        asking.known.refuse(node)
    return replace(target, is_gated=asking.only_detected, is_known=is_known)


def _level(vocabulary: Vocabulary, level: int) -> list[Target]:
    return [_target_for_node(vocabulary, node, level=level) for node in vocabulary.separable_nodes(level)]


def _published_level(vocabulary: Vocabulary, level: int) -> list[Target]:
    targets: list[Target] = []
    for entry in published_tree_levels(vocabulary).get(level, ()):
        if entry.class_indexes:
            target = _target_for_node(vocabulary, vocabulary.ontology.node(entry.node_id), level=level)
            targets.append(replace(target, class_indexes=entry.class_indexes))
    return targets


def _share_out(targets: Sequence[Target], *, vocabulary: Vocabulary) -> list[Target]:
    """Give each class to one of the targets that hold it: the most specific on its main line, or the first."""
    holders: dict[int, list[str]] = {}
    for target in targets:
        for index in target.class_indexes:
            holders.setdefault(index, []).append(target.key)
    owned: dict[str, list[int]] = {target.key: [] for target in targets}
    for index, keys in sorted(holders.items()):
        line = vocabulary.ontology.main_line(vocabulary.classes.ids[index])[::-1]
        owned[next((node.node_id for node in line if node.node_id in keys), keys[0])].append(index)
    return [replace(target, owned_indexes=tuple(owned[target.key])) for target in targets]


def _target_for_node(vocabulary: Vocabulary, node: Node, *, level: int | None) -> Target:
    class_indexes = tuple(vocabulary.class_indexes(node.node_id))
    if not class_indexes:
        raise QueryError(node.label, expected="a node with trained classes", found="none in its subtree")
    own_indexes = tuple(index for index in class_indexes if vocabulary.classes.ids[index] == node.node_id)
    return Target(
        key=node.node_id, label=node.label, level=level, class_indexes=class_indexes, own_indexes=own_indexes
    )


def _merge(index_sets: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({index for indexes in index_sets for index in indexes}))
