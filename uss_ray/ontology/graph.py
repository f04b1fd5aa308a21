"""The ontology as the directed acyclic graph it is: nodes, parents, children, levels.

Owns the JSON format of AudioSet and its checks. Which nodes a tagger was trained on is left to `classes` and
`vocabulary`.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType

from uss_ray.errors import DataError, QueryError
from uss_ray.ontology.source import SourceText, read_source

PACKAGED_ONTOLOGY = "ontology.json"

_EXPECTED = "a JSON list of ontology nodes"
_MOST_LEVELS = 100  # AudioSet has six; what goes down through them is called as deep


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of the ontology.

    Attributes
    ----------
    node_id : str
        Identifier, for AudioSet a MID such as ``/m/0jbk``.
    label : str
        Display name; parts between commas are synonyms.
    description : str
        Free text; may be empty.
    children_ids : tuple of str
        In the order of the file.
    parent_ids : tuple of str
        In the order of the file; empty for a root.
    level : int
        Nodes on the shortest path from a root, both ends counted: roots are 1.
    restrictions : tuple of str
        AudioSet's marks, ``abstract`` and ``blacklist``.
    """

    node_id: str
    label: str
    description: str = field(repr=False)
    children_ids: tuple[str, ...] = field(repr=False)
    parent_ids: tuple[str, ...] = field(repr=False)
    level: int
    restrictions: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A node as the file gives it, before its place in the graph is known."""

    node_id: str
    label: str
    description: str
    children_ids: tuple[str, ...]
    restrictions: tuple[str, ...]


class Ontology:
    """A checked ontology; read it with `Ontology.load` or `Ontology.parse`.

    Parameters
    ----------
    nodes : mapping of str to Node
        Node id -> node, in the order of the file.

    Attributes
    ----------
    nodes : mapping of str to Node
        The same, read-only.
    """

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = dict(nodes)
        self._descendants: dict[str, tuple[Node, ...]] = {}

    @classmethod
    def load(cls, path: str | Path | None = None) -> Ontology:
        """Read an ontology in AudioSet's JSON format.

        Parameters
        ----------
        path : str, Path or None, default=None
            A JSON file: a list of objects with ``id``, ``name``, ``child_ids`` and optionally ``description``
            and ``restrictions``. None takes AudioSet's, which ships in the package.

        Returns
        -------
        Ontology
            The checked graph.

        Raises
        ------
        DataError
            If the file cannot be read, is not such a list, or its graph has a duplicate id, an unknown child or
            a cycle.

        Examples
        --------
        >>> len(Ontology.load().nodes)
        632
        """
        source = read_source(path, packaged=PACKAGED_ONTOLOGY)
        document = source.parsed(list, expected=_EXPECTED)
        return cls._of(document, name=source.name)

    @classmethod
    def parse(cls, text: str, *, name: str) -> Ontology:
        """Build the ontology from JSON text; `name` is what an error blames. Raises as `load` does."""
        return cls._of(SourceText(name, text).parsed(list, expected=_EXPECTED), name=name)

    @classmethod
    def _of(cls, document: Sequence[object], *, name: str) -> Ontology:
        entries = _parse_entries(document, name=name)
        parents = _find_parents(entries, name=name)
        _check_acyclic(entries, name=name)
        levels = _shortest_path_levels(entries, parents=parents)
        return cls(
            {
                entry.node_id: Node(
                    node_id=entry.node_id,
                    label=entry.label,
                    description=entry.description,
                    children_ids=entry.children_ids,
                    parent_ids=tuple(parents[entry.node_id]),
                    level=levels[entry.node_id],
                    restrictions=entry.restrictions,
                )
                for entry in entries.values()
            }
        )

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Node id -> node, in the order of the file."""
        return MappingProxyType(self._nodes)

    @property
    def sha256(self) -> str:
        """Name the graph by its ids and which lie below which, whatever the nodes are called."""
        below = {node.node_id: sorted(node.children_ids) for node in self._nodes.values()}
        return hashlib.sha256(json.dumps(below, sort_keys=True).encode()).hexdigest()

    @property
    def roots(self) -> tuple[Node, ...]:
        """Nodes without a parent, in the order of the file."""
        return tuple(node for node in self._nodes.values() if not node.parent_ids)

    @property
    def levels(self) -> range:
        """The levels there are, from 1 to the deepest."""
        return range(1, max(node.level for node in self._nodes.values()) + 1)

    def node(self, node_id: str) -> Node:
        """Return the node of an id.

        Raises
        ------
        QueryError
            If the ontology has no such id.
        """
        try:
            return self._nodes[node_id]
        except KeyError:
            raise QueryError(node_id, expected="a node id of the ontology", found="an unknown id") from None

    def at_level(self, level: int) -> tuple[Node, ...]:
        """Return the nodes of one level, each once, in the order of the file.

        Raises
        ------
        QueryError
            If the ontology has no such level.
        """
        if level not in self.levels:
            raise QueryError(
                f"level {level}", expected=f"a level from 1 to {self.levels[-1]}", found=str(level)
            )
        return tuple(node for node in self._nodes.values() if node.level == level)

    def descendants(self, node_id: str) -> tuple[Node, ...]:
        """Return the node and all below it, each once, parents before their first child, depth first.

        Raises
        ------
        QueryError
            If the ontology has no such id.
        """
        if node_id not in self._descendants:
            self._descendants[node_id] = self._walk(node_id, lambda node: node.children_ids)
        return self._descendants[node_id]

    def ancestors(self, node_id: str) -> tuple[Node, ...]:
        """Return all nodes above a node, each once, without the node itself.

        Raises
        ------
        QueryError
            If the ontology has no such id.
        """
        return self._walk(node_id, lambda node: node.parent_ids)[1:]

    def main_line(self, node_id: str) -> tuple[Node, ...]:
        """Return a node and one node of each level above it, the root first, as in a tree.

        Of several parents one level up, the one that the file names first is taken.

        Raises
        ------
        QueryError
            If the ontology has no such id.
        """
        line = [self.node(node_id)]
        while line[0].level > 1:
            parents = map(self.node, line[0].parent_ids)
            line.insert(0, next(parent for parent in parents if parent.level == line[0].level - 1))
        return tuple(line)

    def related(self, first_id: str, second_id: str) -> bool:
        """Tell whether two nodes are the same or one lies below the other.

        Raises
        ------
        QueryError
            If the ontology has no such id.
        """
        first, second = self.node(first_id), self.node(second_id)
        return second in self.descendants(first_id) or first in self.descendants(second_id)

    def _walk(self, node_id: str, neighbours: Callable[[Node], tuple[str, ...]]) -> tuple[Node, ...]:
        found: dict[str, Node] = {}
        stack = [self.node(node_id)]
        while stack:
            node = stack.pop()
            if node.node_id not in found:
                found[node.node_id] = node
                stack.extend(self._nodes[next_id] for next_id in reversed(neighbours(node)))
        return tuple(found.values())


def _parse_entries(document: Sequence[object], *, name: str) -> dict[str, _Entry]:
    if not document:
        raise DataError(name, expected=_EXPECTED, found="an empty list")
    entries: dict[str, _Entry] = {}
    for position, item in enumerate(document):
        entry = _parse_entry(item, where=f"{name}, item {position}")
        if entry.node_id in entries:
            raise DataError(
                f"{name}, item {position}", expected="each id once", found=f"{entry.node_id} again"
            )
        entries[entry.node_id] = entry
    return entries


def _parse_entry(item: object, *, where: str) -> _Entry:
    if not isinstance(item, dict):
        raise DataError(
            where, expected="an object with id, name and child_ids", found=f"a {type(item).__name__}"
        )
    return _Entry(
        node_id=_text(item, "id", where=where),
        label=_text(item, "name", where=where),
        description=_text(item, "description", where=where, default=""),
        children_ids=_texts(item, "child_ids", where=where),
        restrictions=_texts(item, "restrictions", where=where, default=()),
    )


def _text(item: dict[str, object], field: str, *, where: str, default: str | None = None) -> str:
    value = item.get(field, default)
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise DataError(f"{where}, field {field}", expected="a non-empty string", found=_shown(item, field))
    return value


def _texts(
    item: dict[str, object], field: str, *, where: str, default: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    value = item.get(field, default)
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise DataError(f"{where}, field {field}", expected="a list of strings", found=_shown(item, field))
    if len(set(value)) != len(value):
        raise DataError(f"{where}, field {field}", expected="each entry once", found=_shown(item, field))
    return tuple(value)


def _shown(item: dict[str, object], field: str) -> str:
    return json.dumps(item[field], ensure_ascii=False) if field in item else "nothing"


def _find_parents(entries: Mapping[str, _Entry], *, name: str) -> dict[str, list[str]]:
    parents: dict[str, list[str]] = {node_id: [] for node_id in entries}
    for entry in entries.values():
        for child_id in entry.children_ids:
            if child_id not in parents:
                raise DataError(
                    f"{name}, node {entry.node_id}",
                    expected="children that are nodes",
                    found=f"unknown child {child_id}",
                )
            parents[child_id].append(entry.node_id)
    return parents


def _check_acyclic(entries: Mapping[str, _Entry], *, name: str) -> None:
    children: dict[str, Iterable[str]] = {entry.node_id: entry.children_ids for entry in entries.values()}
    heights: dict[str, int] = {}
    try:
        for node_id in TopologicalSorter(children).static_order():  # children first
            heights[node_id] = 1 + max((heights[child] for child in children[node_id]), default=0)
    except CycleError as error:
        raise DataError(
            name, expected="no node below itself", found="the cycle " + " < ".join(error.args[1])
        ) from error
    if max(heights.values()) > _MOST_LEVELS:
        raise DataError(
            name,
            expected=f"at most {_MOST_LEVELS} levels",
            found=f"{max(heights.values())} nodes below each other",
        )


def _shortest_path_levels(
    entries: Mapping[str, _Entry], *, parents: Mapping[str, list[str]]
) -> dict[str, int]:
    levels = {node_id: 1 for node_id, above in parents.items() if not above}
    queue = deque(levels)
    while queue:
        node_id = queue.popleft()
        for child_id in entries[node_id].children_ids:
            if child_id not in levels:
                levels[child_id] = levels[node_id] + 1
                queue.append(child_id)
    return levels
