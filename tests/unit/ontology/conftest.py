from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from uss_ray.ontology.classes import ClassList
from uss_ray.ontology.graph import Ontology
from uss_ray.ontology.vocabulary import Vocabulary

# A field station's own ontology: a diamond (the hybrid has two parents, on different levels), a label used twice,
# and a node that nothing was trained on.
BIOACOUSTICS = [
    {"id": "b:animal", "name": "Animal", "child_ids": ["b:bat", "b:frog", "b:hybrid"]},
    {"id": "b:bat", "name": "Bat", "child_ids": ["b:pip", "b:bat-call"]},
    {"id": "b:pip", "name": "Common pipistrelle, soprano bat", "child_ids": ["b:hybrid"]},
    {"id": "b:hybrid", "name": "Hybrid pipistrelle", "child_ids": []},
    {"id": "b:bat-call", "name": "Call", "child_ids": []},
    {
        "id": "b:frog",
        "name": "Frog",
        "description": "Pond amphibians that croak.",
        "child_ids": ["b:frog-call"],
    },
    {"id": "b:frog-call", "name": "Call", "child_ids": []},
    {"id": "b:weather", "name": "Weather", "child_ids": []},
]
BIOACOUSTICS_CLASSES = """index,mid,display_name
0,b:hybrid,"Hybrid pipistrelle"
1,b:frog-call,"Frog, calling"
2,b:bat-call,"Call"
3,b:bat,"Bat"
"""


@pytest.fixture(scope="session")
def audioset() -> Vocabulary:
    return Vocabulary(Ontology.load(), ClassList.load())


@pytest.fixture
def bioacoustics(tmp_path: Path) -> Vocabulary:
    ontology_path, classes_path = tmp_path / "bio ontology.json", tmp_path / "bio classes.csv"
    ontology_path.write_text(json.dumps(BIOACOUSTICS), encoding="utf-8")
    classes_path.write_text(BIOACOUSTICS_CLASSES, encoding="utf-8")
    return Vocabulary.load(ontology_path=ontology_path, classes_path=classes_path)


@pytest.fixture
def node_id(audioset: Vocabulary) -> Callable[[str], str]:
    ids = {node.label: node.node_id for node in audioset.ontology.nodes.values()}
    return ids.__getitem__
