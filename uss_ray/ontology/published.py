"""The levels of the released program, which takes the ontology for a tree.

Owns that reading of the graph, for parity with its stems only; `graph` has the ontology as it is (see docs/adr/0001).
"""

from __future__ import annotations

from dataclasses import dataclass

from uss_ray.errors import DataError
from uss_ray.ontology.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class PublishedNode:
    """A node as the released program sees it.

    Attributes
    ----------
    node_id : str
        Its id.
    class_indexes : tuple of int
        Trained classes of its subtree in the tree, sorted; may be fewer than in the graph, and may be empty.
    """

    node_id: str
    class_indexes: tuple[int, ...]


def published_tree_levels(vocabulary: Vocabulary) -> dict[int, tuple[PublishedNode, ...]]:
    """Group the nodes by their level in the released program's tree.

    Parameters
    ----------
    vocabulary : Vocabulary
        The ontology and its trained classes.

    Returns
    -------
    dict of int to tuple of PublishedNode
        Level (roots are 1) -> nodes in depth-first order.

    Raises
    ------
    DataError
        If a node stands in the file before all of its parents, which that program cannot read.

    Notes
    -----
    Behaviour of `uss` 0.0.4, `parse_ontology.get_ontology_tree`: nodes are hung in file order, each under the parent
    met first on a depth-first walk of the tree so far.
    """
    ontology = vocabulary.ontology
    tree: dict[str, list[str]] = {}
    levels: dict[str, int] = {}
    hung_roots: list[str] = []

    def walk(starts: list[str]) -> list[str]:
        order: list[str] = []
        stack = starts[::-1]
        while stack:
            order.append(stack.pop())
            stack.extend(reversed(tree[order[-1]]))
        return order

    for node in ontology.nodes.values():
        tree[node.node_id] = []
        if not node.parent_ids:
            levels[node.node_id] = 1
            hung_roots.append(node.node_id)
            continue
        parent_id = next((met for met in walk(hung_roots) if met in node.parent_ids), None)
        if parent_id is None:
            raise DataError(node.node_id, expected="a parent earlier in the ontology's file", found="none")
        tree[parent_id].append(node.node_id)
        levels[node.node_id] = levels[parent_id] + 1

    grouped: dict[int, list[PublishedNode]] = {}
    for node_id in walk(hung_roots):
        indexes = {
            vocabulary.classes.index(below) for below in walk([node_id]) if below in vocabulary.classes
        }
        entry = PublishedNode(node_id, tuple(sorted(indexes)))
        grouped.setdefault(levels[node_id], []).append(entry)
    return {level: tuple(grouped[level]) for level in sorted(grouped)}
