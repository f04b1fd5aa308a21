"""Older versions of `config.json`, brought to today's form with the values that were true of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

FORMAT_VERSION: Final = 2

_SPECIFIED_IN_VERSION_1 = ("sample_rate", "segment_seconds", "condition", "class_list")
_ARCHITECTURES_OF_VERSION_1 = {
    "tagger": "panns",
    "detector": "panns",
    "adaptor": "two-layer",
    "separator": "resunet",
}
# Settings that came later, with what was true before there were any.
_FILM = {"kind": "shift", "framewise": False}
_ADDED: Final[Mapping[tuple[str, str], Mapping[str, Any]]] = {
    ("separator", "resunet"): {"film": _FILM, "film_places": "all", "passes": 1},
    ("separator", "conv-tasnet"): {"film": _FILM},
}
_STARTER_RECIPE = "uss_ray.training.starter"
_STARTER_RMS_DBFS = (-35.0, -15.0)


def upgrade(config: Mapping[str, Any]) -> dict[str, Any]:
    """Bring the content of a `config.json` to the version of today; what is wrong with it stays wrong.

    Version 1 had no specifications: rate, segment, condition and class list stood beside the networks, levels and
    silence nowhere. It named an architecture only where it was not the first one that a role had.
    """
    values = _of_version_1(config)
    for (role, architecture), added in _ADDED.items():
        settings = values.get(role)
        if isinstance(settings, dict) and settings.get("architecture") == architecture:
            values[role] = {**added, **settings}
    return values


def _of_version_1(config: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(config)
    if values.get("format_version") != 1 or "specifications" in values:
        return values
    values["format_version"] = FORMAT_VERSION
    specifications = {key: values.pop(key) for key in _SPECIFIED_IN_VERSION_1 if key in values}
    source = values.get("source")
    if isinstance(source, dict) and source.get("recipe") == _STARTER_RECIPE:
        specifications["training_rms_dbfs"] = _STARTER_RMS_DBFS
    values["specifications"] = specifications
    for role, architecture in _ARCHITECTURES_OF_VERSION_1.items():
        settings = values.get(role)
        if isinstance(settings, dict):
            values[role] = {"architecture": architecture} | settings
    return values
