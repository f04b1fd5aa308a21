from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from uss_ray.errors import DataError
from uss_ray.ontology.classes import ClassList
from uss_ray.ontology.graph import Ontology
from uss_ray.ontology.published import published_tree_levels
from uss_ray.ontology.vocabulary import Vocabulary

PEER_MODULES = ("uss", "panns_inference", "torchlibrosa", "librosa", "pandas", "yaml")
PEER_PROGRAM = """
import json, sys
from uss.config import ID_TO_IX
from uss.parse_ontology import Node, get_ontology_tree

nodes = Node.traverse(get_ontology_tree(sys.argv[1]))
levels = {
    level: [
        [node.class_id, sorted(ID_TO_IX[below.class_id] for below in Node.traverse(node) if below.class_id in ID_TO_IX)]
        for node in nodes
        if node.level == level
    ]
    for level in range(1, 7)
}
print("LEVELS" + json.dumps(levels))
"""


def test_the_tree_moves_31_nodes_to_another_level_and_37_lack_descendants(audioset: Vocabulary) -> None:
    levels = published_tree_levels(audioset)
    ontology = audioset.ontology
    assert {level: len(nodes) for level, nodes in levels.items()} == {
        1: 7,
        2: 42,
        3: 286,
        4: 229,
        5: 63,
        6: 5,
    }
    placed = [(level, node) for level, nodes in levels.items() for node in nodes]
    assert sorted(node.node_id for _, node in placed) == sorted(ontology.nodes)
    assert sum(ontology.nodes[node.node_id].level != level for level, node in placed) == 31
    assert sum(node.class_indexes != audioset.class_indexes(node.node_id) for _, node in placed) == 37


def test_45_edges_of_audioset_have_no_place_in_a_tree(audioset: Vocabulary) -> None:
    nodes = audioset.ontology.nodes.values()
    edges = sum(len(node.children_ids) for node in nodes)
    in_a_tree = len(nodes) - len(audioset.ontology.roots)
    assert edges - in_a_tree == 45


def test_a_node_hangs_under_the_parent_met_first(bioacoustics: Vocabulary) -> None:
    levels = published_tree_levels(bioacoustics)
    classes = {node.node_id: node.class_indexes for nodes in levels.values() for node in nodes}
    assert "b:hybrid" in [node.node_id for node in levels[2]]
    assert classes["b:pip"] == ()
    assert classes["b:animal"] == (0, 1, 2, 3)


def test_a_child_before_its_parent_in_the_file_is_refused() -> None:
    text = '[{"id": "b", "name": "b", "child_ids": []}, {"id": "a", "name": "a", "child_ids": ["b"]}]'
    classes = ClassList.parse("index,mid,display_name\n0,b,b\n", name="own.csv")
    with pytest.raises(DataError, match="b: expected a parent earlier"):
        published_tree_levels(Vocabulary(Ontology.parse(text, name="own.json"), classes))


@pytest.mark.peer
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PEER_MODULES),
    reason="the released program is not installed",
)
def test_the_levels_equal_those_of_the_released_program(audioset: Vocabulary, tmp_path: Path) -> None:
    # The released program reads its tables from the home folder, and would download them were they not there.
    metadata = resources.files("uss_ray.ontology") / "data"
    for folder in (tmp_path / ".cache/uss/metadata", tmp_path / "panns_data"):
        folder.mkdir(parents=True)
        for name in ("ontology.json", "class_labels_indices.csv"):
            with resources.as_file(metadata / name) as file:
                shutil.copy(file, folder / name)
    answer = subprocess.run(
        [sys.executable, "-c", PEER_PROGRAM, str(tmp_path / ".cache/uss/metadata/ontology.json")],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    theirs = json.loads(answer.stdout.partition("LEVELS")[2])
    ours = {
        str(level): [[node.node_id, list(node.class_indexes)] for node in nodes]
        for level, nodes in published_tree_levels(audioset).items()
    }
    assert ours == theirs
