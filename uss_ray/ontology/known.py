"""What weights know of an ontology: a node none of whose classes they were trained on is unknown to them, not absent.

Owns the difference, and which known nodes lie nearest to an unknown one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NoReturn

from uss_ray.errors import QueryError
from uss_ray.ontology.graph import Node
from uss_ray.ontology.vocabulary import TextMatch, Vocabulary

_NEAREST = 5


class KnownNodes:
    """The nodes of a vocabulary that some weights know.

    Parameters
    ----------
    vocabulary : Vocabulary
    class_indexes : iterable of int or None
        The classes that the weights were trained on. None: all of the vocabulary.

    Examples
    --------
    >>> vocabulary = Vocabulary.load()
    >>> speech_alone = KnownNodes(vocabulary, [0])
    >>> speech_alone.knows_node("/m/09l8g"), speech_alone.knows_node("/m/0bt9lr")
    (True, False)
    """

    def __init__(self, vocabulary: Vocabulary, class_indexes: Iterable[int] | None) -> None:
        self.vocabulary = vocabulary
        everything = range(len(vocabulary.classes))
        self.class_indexes = frozenset(everything if class_indexes is None else class_indexes)

    def knows(self, class_indexes: Iterable[int]) -> bool:
        """Tell whether one of some classes is known."""
        return not self.class_indexes.isdisjoint(class_indexes)

    def knows_node(self, node_id: str) -> bool:
        """Tell whether a class of a node's subtree is known. Raises QueryError for an unknown id."""
        return self.knows(self.vocabulary.class_indexes(node_id))

    def resolve_text(self, text: str) -> TextMatch:
        """Find the node that a text names, as `Vocabulary.resolve_text` does; a known one wins a tie."""
        return self.vocabulary.resolve_text(text, prefers=self.knows_node)

    def nearest(self, node_id: str, *, count: int = _NEAREST) -> tuple[Node, ...]:
        """Find the known nodes nearest to one that is not known.

        Parameters
        ----------
        node_id : str
        count : int, default=5
            At most so many.

        Returns
        -------
        tuple of Node
            Of each parent the known children, then itself; then the same one step further up. Nothing below an unknown
            node is known.

        Raises
        ------
        QueryError
            If the ontology has no such id.
        """
        found: dict[str, Node] = {}
        for node in self._around(self.vocabulary.ontology.node(node_id)):
            if node.node_id != node_id and self.knows_node(node.node_id):
                found.setdefault(node.node_id, node)
        return tuple(found.values())[:count]

    def refuse(self, node: Node) -> NoReturn:
        """Say that a node is not known, and which known ones are near.

        Raises
        ------
        QueryError
            Always.
        """
        near = ", ".join(f"{one.label} ({one.node_id})" for one in self.nearest(node.node_id)) or "none"
        raise QueryError(
            node.label,
            expected=f"a sound that the weights were trained on (nearest: {near}), or unknown ones allowed",
            found="none of its classes among them",
        )

    def _around(self, node: Node) -> Iterator[Node]:
        ontology = self.vocabulary.ontology
        above, seen = [node], {node.node_id}
        while above:
            parents = [ontology.node(parent_id) for one in above for parent_id in one.parent_ids]
            above = [parent for parent in dict.fromkeys(parents) if parent.node_id not in seen]
            seen.update(parent.node_id for parent in above)
            for parent in above:
                yield from (ontology.node(child_id) for child_id in parent.children_ids)
                yield parent
