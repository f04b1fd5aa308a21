"""USS-Ray: takes recordings apart into the sounds in them, by the AudioSet ontology.

The names below are loaded when first used, so that importing the package costs nothing.

Examples
--------
>>> from uss_ray import Vocabulary
>>> Vocabulary.load().resolve("dog").level
3
"""

from __future__ import annotations

import typing as _typing

if _typing.TYPE_CHECKING:
    from uss_ray.anchors.stream import AnchorShards as AnchorShards
    from uss_ray.api.batches import SeparateBatch as SeparateBatch
    from uss_ray.api.pretrained import Separator as Separator
    from uss_ray.api.pretrained import separate as separate
    from uss_ray.api.pretrained import tag as tag
    from uss_ray.api.request import Query as Query
    from uss_ray.api.request import SeparationRequest as SeparationRequest
    from uss_ray.api.sounds import SeparatedRecording as SeparatedRecording
    from uss_ray.api.sounds import SeparatedSound as SeparatedSound
    from uss_ray.errors import ConfigError as ConfigError
    from uss_ray.errors import DataError as DataError
    from uss_ray.errors import OutputError as OutputError
    from uss_ray.errors import QueryError as QueryError
    from uss_ray.errors import RecordingError as RecordingError
    from uss_ray.errors import UssRayError as UssRayError
    from uss_ray.errors import WeightsError as WeightsError
    from uss_ray.ontology.classes import ClassList as ClassList
    from uss_ray.ontology.graph import Ontology as Ontology
    from uss_ray.ontology.vocabulary import Vocabulary as Vocabulary
    from uss_ray.pipelines.archive.job import separate_archive as separate_archive
    from uss_ray.pipelines.runtime.options import JobOptions as JobOptions
    from uss_ray.results.index.table import read_index as read_index
    from uss_ray.results.options import WriteOptions as WriteOptions
    from uss_ray.separation.engine import SeparationEngine as SeparationEngine
    from uss_ray.separation.engine import build_engine as build_engine
    from uss_ray.separation.settings import NetworkSettings as NetworkSettings
    from uss_ray.separation.settings import SeparationSettings as SeparationSettings
    from uss_ray.store.options import StoreOptions as StoreOptions
    from uss_ray.weights.locate import load_weights as load_weights

    __version__: str

_HOMES = {
    "AnchorShards": "uss_ray.anchors.stream",
    "ClassList": "uss_ray.ontology.classes",
    "ConfigError": "uss_ray.errors",
    "DataError": "uss_ray.errors",
    "JobOptions": "uss_ray.pipelines.runtime.options",
    "NetworkSettings": "uss_ray.separation.settings",
    "Ontology": "uss_ray.ontology.graph",
    "OutputError": "uss_ray.errors",
    "Query": "uss_ray.api.request",
    "QueryError": "uss_ray.errors",
    "RecordingError": "uss_ray.errors",
    "SeparateBatch": "uss_ray.api.batches",
    "SeparatedRecording": "uss_ray.api.sounds",
    "SeparatedSound": "uss_ray.api.sounds",
    "SeparationEngine": "uss_ray.separation.engine",
    "SeparationRequest": "uss_ray.api.request",
    "SeparationSettings": "uss_ray.separation.settings",
    "Separator": "uss_ray.api.pretrained",
    "StoreOptions": "uss_ray.store.options",
    "UssRayError": "uss_ray.errors",
    "Vocabulary": "uss_ray.ontology.vocabulary",
    "WeightsError": "uss_ray.errors",
    "WriteOptions": "uss_ray.results.options",
    "build_engine": "uss_ray.separation.engine",
    "load_weights": "uss_ray.weights.locate",
    "read_index": "uss_ray.results.index.table",
    "separate": "uss_ray.api.pretrained",
    "separate_archive": "uss_ray.pipelines.archive.job",
    "tag": "uss_ray.api.pretrained",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> _typing.Any:
    if name == "__version__":
        from uss_ray.version import VERSION

        return VERSION
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*_HOMES, *(name for name in globals() if name.startswith("__")), "__version__"])
