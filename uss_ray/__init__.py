"""USS-Ray: takes recordings apart into the sounds in them, by the AudioSet ontology.

The names below are loaded when first used, so that importing the package costs nothing.

Examples
--------
>>> from uss_ray import Vocabulary
>>> Vocabulary.load().resolve("dog").level
3
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uss_ray.api.request import Query as Query
    from uss_ray.api.request import SeparationRequest as SeparationRequest
    from uss_ray.api.separator import separate as separate
    from uss_ray.errors import UssRayError as UssRayError
    from uss_ray.ontology.classes import ClassList as ClassList
    from uss_ray.ontology.graph import Ontology as Ontology
    from uss_ray.ontology.vocabulary import Vocabulary as Vocabulary
    from uss_ray.pipelines.archive.job import separate_archive as separate_archive
    from uss_ray.pipelines.runtime.options import JobOptions as JobOptions
    from uss_ray.results.index.table import read_index as read_index
    from uss_ray.results.options import WriteOptions as WriteOptions
    from uss_ray.separation.engine import SeparationEngine as SeparationEngine
    from uss_ray.separation.settings import SeparationSettings as SeparationSettings
    from uss_ray.weights.folder import load_weights as load_weights

_HOMES = {
    "ClassList": "uss_ray.ontology.classes",
    "JobOptions": "uss_ray.pipelines.runtime.options",
    "Ontology": "uss_ray.ontology.graph",
    "Query": "uss_ray.api.request",
    "SeparationEngine": "uss_ray.separation.engine",
    "SeparationRequest": "uss_ray.api.request",
    "SeparationSettings": "uss_ray.separation.settings",
    "UssRayError": "uss_ray.errors",
    "Vocabulary": "uss_ray.ontology.vocabulary",
    "WriteOptions": "uss_ray.results.options",
    "load_weights": "uss_ray.weights.folder",
    "read_index": "uss_ray.results.index.table",
    "separate": "uss_ray.api.separator",
    "separate_archive": "uss_ray.pipelines.archive.job",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
