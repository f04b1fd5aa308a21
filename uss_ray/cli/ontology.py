"""`uss-ray ontology`: the classes there are, as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from uss_ray.cli.command import JSON, Command
from uss_ray.cli.notes import write_json
from uss_ray.config import Location, Name, Settings
from uss_ray.ontology.source import ClassListFile, OntologyFile


class ShowOntology(Settings):
    """Print the ontology: label, id, level and class index of each node."""

    level: int | None = Field(default=None, description="Show no node below this level.")
    find: Name | None = Field(default=None, description="Show nodes whose label or id holds this text.")
    weights: Location | None = Field(
        default=None, description="Mark the nodes that these weights do not know: name, folder or URI."
    )
    ontology: OntologyFile = None
    class_list: ClassListFile = None


COMMAND: Final = Command(name="ontology", model=ShowOntology, extras={"json": JSON})


def run(arguments: Sequence[str]) -> int:
    """Print the tree."""
    asked, extras = COMMAND.read(arguments)

    from uss_ray.cli.display import say
    from uss_ray.ontology.tree import list_nodes, render_tree
    from uss_ray.ontology.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(ontology_path=asked.ontology, classes_path=asked.class_list)
    known = None
    if asked.weights is not None:
        from uss_ray.models.protocols import known_classes
        from uss_ray.ontology.known import KnownNodes
        from uss_ray.weights.locate import load_weights

        weights = load_weights(asked.weights)
        weights.check_classes(vocabulary.classes.ids)
        known = KnownNodes(vocabulary, known_classes(weights))
    if "json" in extras:
        for record in list_nodes(vocabulary, level=asked.level, find=asked.find, known=known):
            write_json(record)
        return 0
    say(render_tree(vocabulary, level=asked.level, find=asked.find, known=known))
    return 0
