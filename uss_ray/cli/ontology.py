"""`uss-ray ontology`: the classes there are, as a tree."""

from __future__ import annotations

from typing import Annotated

import typer

from uss_ray.cli import options
from uss_ray.cli.display import say


def ontology(
    level: Annotated[int | None, typer.Option("--level", help="Show no node below this level.")] = None,
    find: Annotated[
        str | None, typer.Option("--find", help="Show nodes whose label or id holds this text.")
    ] = None,
    ontology_file: options.OntologyFile = None,
    class_list: options.ClassListFile = None,
) -> None:
    """Print the ontology: label, id, level and class index of each node."""
    from uss_ray.ontology.tree import render_tree
    from uss_ray.ontology.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(ontology_path=ontology_file, classes_path=class_list)
    say(render_tree(vocabulary, level=level, find=find))
