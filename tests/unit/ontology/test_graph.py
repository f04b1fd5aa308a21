from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import networkx

from uss_ray.errors import DataError, QueryError
from uss_ray.ontology.graph import Ontology
from uss_ray.ontology.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def graph(audioset: Vocabulary) -> networkx.DiGraph:
    import networkx

    edges = networkx.DiGraph()
    edges.add_nodes_from(audioset.ontology.nodes)
    edges.add_edges_from(
        (node.node_id, child_id)
        for node in audioset.ontology.nodes.values()
        for child_id in node.children_ids
    )
    return edges


def test_audioset_has_632_nodes_seven_roots_and_38_nodes_with_two_to_four_parents(
    audioset: Vocabulary,
) -> None:
    nodes = audioset.ontology.nodes.values()
    assert len(nodes) == 632
    assert [root.label for root in audioset.ontology.roots][:3] == ["Human sounds", "Animal", "Music"]
    assert len(audioset.ontology.roots) == 7
    parents = Counter(len(node.parent_ids) for node in nodes)
    assert sum(count for number, count in parents.items() if number > 1) == 38
    assert max(parents) == 4


def test_audioset_levels_by_shortest_path_hold_7_43_305_223_50_and_4_nodes(audioset: Vocabulary) -> None:
    ontology = audioset.ontology
    assert [len(ontology.at_level(level)) for level in ontology.levels] == [7, 43, 305, 223, 50, 4]


def test_levels_equal_the_shortest_paths_of_an_independent_graph_library(
    audioset: Vocabulary, graph: networkx.DiGraph
) -> None:
    from networkx import multi_source_dijkstra_path_length

    roots = {root.node_id for root in audioset.ontology.roots}
    distances = multi_source_dijkstra_path_length(graph, roots)
    assert {node.node_id: node.level - 1 for node in audioset.ontology.nodes.values()} == distances


def test_descendants_and_ancestors_equal_those_of_an_independent_graph_library(
    audioset: Vocabulary, graph: networkx.DiGraph
) -> None:
    from networkx import ancestors, descendants

    for node_id in audioset.ontology.nodes:
        below = [node.node_id for node in audioset.ontology.descendants(node_id)]
        above = [node.node_id for node in audioset.ontology.ancestors(node_id)]
        assert below[0] == node_id
        assert sorted(below) == sorted(descendants(graph, node_id) | {node_id})
        assert sorted(above) == sorted(ancestors(graph, node_id))


def test_growling_is_a_descendant_of_both_cat_and_dog(
    audioset: Vocabulary, node_id: Callable[[str], str]
) -> None:
    growling = audioset.ontology.node(node_id("Growling"))
    for parent in ("Cat", "Dog"):
        assert growling in audioset.ontology.descendants(node_id(parent))


@pytest.mark.parametrize(
    ("first", "second", "related"),
    [
        ("Cat", "Growling", True),
        ("Growling", "Animal", True),
        ("Cat", "Cat", True),
        ("Cat", "Dog", False),
        ("Bark", "Speech", False),
    ],
)
def test_only_the_same_node_and_nodes_above_and_below_are_related(
    audioset: Vocabulary, node_id: Callable[[str], str], first: str, second: str, related: bool
) -> None:
    assert audioset.ontology.related(node_id(first), node_id(second)) is related
    assert audioset.ontology.related(node_id(second), node_id(first)) is related


def test_a_level_that_is_not_there_is_refused_with_the_levels_there_are(audioset: Vocabulary) -> None:
    with pytest.raises(QueryError, match="level 7: expected a level from 1 to 6"):
        audioset.ontology.at_level(7)


def test_an_unknown_id_is_refused_by_every_lookup(audioset: Vocabulary) -> None:
    ontology = audioset.ontology
    for lookup in (ontology.node, ontology.descendants, ontology.ancestors):
        with pytest.raises(QueryError, match="/m/nothing"):
            lookup("/m/nothing")
    with pytest.raises(QueryError, match="/m/nothing"):
        ontology.related("/m/0jbk", "/m/nothing")


def test_the_nodes_cannot_be_changed_from_outside(audioset: Vocabulary) -> None:
    with pytest.raises(TypeError):
        audioset.ontology.nodes["/m/0jbk"] = audioset.ontology.roots[0]  # type: ignore[index]


def test_an_ontology_survives_the_way_to_another_process(audioset: Vocabulary) -> None:
    copy = pickle.loads(pickle.dumps(audioset.ontology))  # noqa: S301 - as Ray sends it
    assert dict(copy.nodes) == dict(audioset.ontology.nodes)


def test_a_node_with_parents_on_two_levels_takes_the_shorter_way(bioacoustics: Vocabulary) -> None:
    hybrid = bioacoustics.ontology.node("b:hybrid")
    assert hybrid.level == 2
    assert hybrid.parent_ids == ("b:animal", "b:pip")


def _nodes(**children: list[str]) -> str:
    return json.dumps([{"id": key, "name": key, "child_ids": below} for key, below in children.items()])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "own.json: .*found an empty file"),
        ("[]", "own.json: .*found an empty list"),
        ("{}", "own.json: .*found a dict"),
        ('[{"id": "a",', "own.json: .*in line 1"),
        ("[3]", "own.json, item 0: .*found a int"),
        ('[{"id": "a", "child_ids": []}]', "own.json, item 0, field name: .*found nothing"),
        ('[{"id": 5, "name": "a", "child_ids": []}]', "own.json, item 0, field id: .*found 5"),
        ('[{"id": "a", "name": "a"}]', "own.json, item 0, field child_ids: .*found nothing"),
        ('[{"id": "a", "name": "a", "child_ids": "b"}]', 'field child_ids: .*found "b"'),
        (_nodes(a=["b", "b"], b=[]), "item 0, field child_ids: expected each entry once"),
        (_nodes(a=["b"]), "own.json, node a: .*found unknown child b"),
        (_nodes(a=["b"], b=["c"], c=["b"]), "own.json: .*found the cycle .*b"),
        (_nodes(a=["a"]), "own.json: .*found the cycle a < a"),
        (
            '[{"id": "a", "name": "a", "child_ids": []}, {"id": "a", "name": "b", "child_ids": []}]',
            "own.json, item 1: .*found a again",
        ),
    ],
)
def test_a_wrong_ontology_is_refused_with_the_file_and_the_item(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "own.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        Ontology.load(path)


def test_a_missing_file_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.json: expected a readable file"):
        Ontology.load(tmp_path / "absent.json")
    (tmp_path / "bytes.json").write_bytes(b"[\xff\xfe]")
    with pytest.raises(DataError, match=r"bytes\.json: expected UTF-8 text"):
        Ontology.load(tmp_path / "bytes.json")


def test_an_ontology_that_nobody_could_walk_down_is_refused() -> None:
    def chain(count: int) -> str:
        return json.dumps(
            [
                {"id": f"/m/{n}", "name": f"n{n}", "child_ids": [f"/m/{n + 1}"] if n + 1 < count else []}
                for n in range(count)
            ]
        )

    assert Ontology.parse(chain(100), name="deep").levels[-1] == 100
    with pytest.raises(DataError, match="at most 100 levels"):
        Ontology.parse(chain(5000), name="too deep")


def test_a_graph_is_named_by_what_lies_below_what(audioset: Vocabulary) -> None:
    ontology = audioset.ontology
    assert Ontology.load().sha256 == ontology.sha256
    nodes = json.loads(
        json.dumps(
            [
                {"id": node.node_id, "name": node.label, "child_ids": list(node.children_ids)[::-1]}
                for node in ontology.nodes.values()
            ]
        )
    )
    assert Ontology.parse(json.dumps(nodes), name="reordered").sha256 == ontology.sha256
    nodes[0]["child_ids"] = nodes[0]["child_ids"][1:]
    assert Ontology.parse(json.dumps(nodes), name="cut").sha256 != ontology.sha256
