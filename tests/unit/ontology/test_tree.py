from __future__ import annotations

import pytest

from uss_ray.errors import QueryError
from uss_ray.ontology.tree import render_tree
from uss_ray.ontology.vocabulary import Vocabulary


def test_the_whole_tree_shows_every_node_under_each_of_its_parents(audioset: Vocabulary) -> None:
    lines = render_tree(audioset).splitlines()
    for node in audioset.ontology.nodes.values():
        shown = [line for line in lines if f"  {node.node_id}  " in line]
        assert len(shown) >= max(1, len(node.parent_ids))
        assert all(("[under " in line) is (len(node.parent_ids) > 1) for line in shown)


def test_a_line_shows_label_id_level_and_class_index(bioacoustics: Vocabulary) -> None:
    assert render_tree(bioacoustics).splitlines() == [
        "Animal  b:animal  level 1",
        "├── Bat  b:bat  level 2  class 3",
        "│   ├── Common pipistrelle, soprano bat  b:pip  level 3",
        "│   │   └── Hybrid pipistrelle  b:hybrid  level 2  class 0  "
        "[under Animal + Common pipistrelle, soprano bat]",
        "│   └── Call  b:bat-call  level 3  class 2",
        "├── Frog  b:frog  level 2",
        "│   └── Call  b:frog-call  level 3  class 1",
        "└── Hybrid pipistrelle  b:hybrid  level 2  class 0  [under Animal + Common pipistrelle, soprano bat]",
        "Weather  b:weather  level 1  no trained class",
    ]


def test_a_level_leaves_out_what_lies_below_it(audioset: Vocabulary) -> None:
    lines = render_tree(audioset, level=2).splitlines()
    assert sum("level 1" in line for line in lines) == 7
    assert {line.split("level ")[1][0] for line in lines} == {"1", "2"}
    assert len({line.split("/")[-1] for line in lines}) == 50


def test_find_keeps_the_matching_nodes_and_all_nodes_above_them(bioacoustics: Vocabulary) -> None:
    assert [line.split("  ")[-2:] for line in render_tree(bioacoustics, find="FROG").splitlines()] == [
        ["b:animal", "level 1"],
        ["b:frog", "level 2"],
        ["level 3", "class 1"],
    ]


def test_find_takes_an_id_too(audioset: Vocabulary) -> None:
    assert "Growling" in render_tree(audioset, find="/m/0ghcn6")


def test_find_within_a_level_ignores_deeper_matches(audioset: Vocabulary) -> None:
    assert "Bark" in render_tree(audioset, find="bark", level=4)
    with pytest.raises(QueryError, match="bark: expected part of a label or id of the nodes shown"):
        render_tree(audioset, find="bark", level=2)


def test_nothing_found_and_a_level_that_is_not_there_are_refused(audioset: Vocabulary) -> None:
    with pytest.raises(QueryError, match="xyzzy"):
        render_tree(audioset, find="xyzzy")
    with pytest.raises(QueryError, match="level 9"):
        render_tree(audioset, level=9)


def test_drawing_audioset_takes_a_line_or_two_a_node(audioset: Vocabulary) -> None:
    """A node below two parents is drawn below both: that must not multiply."""
    lines = render_tree(audioset).splitlines()
    assert len(audioset.ontology.nodes) <= len(lines) < 2 * len(audioset.ontology.nodes)
