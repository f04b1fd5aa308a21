"""The ontology printed as a tree, for people, or node by node, for programs.

Owns the layout only. A node with several parents stands under each of them and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from anytree import AnyNode, RenderTree

from uss_ray.errors import QueryError
from uss_ray.ontology.graph import Node
from uss_ray.ontology.known import KnownNodes
from uss_ray.ontology.vocabulary import Vocabulary


def render_tree(
    vocabulary: Vocabulary,
    *,
    level: int | None = None,
    find: str | None = None,
    known: KnownNodes | None = None,
) -> str:
    """Draw the ontology, one line a node: label, id, level, class index and other parents.

    Parameters
    ----------
    vocabulary : Vocabulary
        The ontology and the trained classes in it.
    level : int or None, default=None
        Leave out nodes below this level; None draws all.
    find : str or None, default=None
        Keep the nodes whose label or id holds this text, in any case, and all nodes above them; None keeps all.
    known : KnownNodes, optional
        What some weights know; the other nodes are marked.

    Returns
    -------
    str
        Lines without a final newline.

    Raises
    ------
    QueryError
        If the ontology has no such level, or no drawn node holds the text.

    Examples
    --------
    >>> print(render_tree(Vocabulary.load(), find="meow", level=5))
    Animal  /m/0jbk  level 1  class 72
    └── Domestic animals, pets  /m/068hy  level 2  class 73
        └── Cat  /m/01yrx  level 3  class 81
            └── Meow  /m/07qrkrw  level 4  class 83
    """
    drawn = _drawn(vocabulary, level=level, find=find)
    lines = []
    for root in vocabulary.ontology.roots:
        if root.node_id in drawn:
            tree = _grow(vocabulary, root, drawn=drawn, parent=None)
            lines += [f"{row.pre}{_describe(vocabulary, row.node.node, known)}" for row in RenderTree(tree)]
    return "\n".join(lines)


def list_nodes(
    vocabulary: Vocabulary,
    *,
    level: int | None = None,
    find: str | None = None,
    known: KnownNodes | None = None,
) -> Iterator[dict[str, Any]]:
    """Give the nodes that `render_tree` draws, each once, as plain values for programs.

    Yields
    ------
    dict
        `node_id`, `label`, `level`, `class_index` or None, `parent_ids`, `is_separable`, and `is_known` if
        there is `known`.
    """
    drawn = _drawn(vocabulary, level=level, find=find)
    for node in vocabulary.ontology.nodes.values():
        if node.node_id in drawn:
            is_class = node.node_id in vocabulary.classes
            record = {
                "node_id": node.node_id,
                "label": node.label,
                "level": node.level,
                "class_index": vocabulary.classes.index(node.node_id) if is_class else None,
                "parent_ids": list(node.parent_ids),
                "is_separable": vocabulary.is_separable(node.node_id),
            }
            yield record if known is None else record | {"is_known": known.knows_node(node.node_id)}


def _drawn(vocabulary: Vocabulary, *, level: int | None, find: str | None) -> set[str]:
    ontology = vocabulary.ontology
    deepest = ontology.levels[-1] if level is None else ontology.at_level(level)[0].level
    drawn = {node.node_id for node in ontology.nodes.values() if node.level <= deepest}
    return drawn if find is None else _matches_and_ancestors(vocabulary, find, among=drawn)


def _matches_and_ancestors(vocabulary: Vocabulary, text: str, *, among: Iterable[str]) -> set[str]:
    ontology, wanted = vocabulary.ontology, text.casefold()
    kept: set[str] = set()
    among = set(among)
    for node_id in among:
        if wanted in ontology.nodes[node_id].label.casefold() or wanted in node_id.casefold():
            kept.add(node_id)
            kept.update(ancestor.node_id for ancestor in ontology.ancestors(node_id))
    if not kept:
        raise QueryError(
            text, expected="part of a label or id of the nodes shown", found="no node that holds it"
        )
    return kept & among


def _grow(vocabulary: Vocabulary, node: Node, *, drawn: set[str], parent: AnyNode | None) -> AnyNode:
    place = AnyNode(parent=parent, node=node)
    for child_id in node.children_ids:
        if child_id in drawn:
            _grow(vocabulary, vocabulary.ontology.nodes[child_id], drawn=drawn, parent=place)
    return place


def _describe(vocabulary: Vocabulary, node: Node, known: KnownNodes | None) -> str:
    fields = [node.label, node.node_id, f"level {node.level}"]
    if node.node_id in vocabulary.classes:
        fields.append(f"class {vocabulary.classes.index(node.node_id)}")
    if not vocabulary.is_separable(node.node_id):
        fields.append("no trained class")
    elif known is not None and not known.knows_node(node.node_id):
        fields.append("unknown")
    if len(node.parent_ids) > 1:
        parents = " + ".join(vocabulary.ontology.nodes[parent_id].label for parent_id in node.parent_ids)
        fields.append(f"[under {parents}]")
    return "  ".join(fields)
