"""Counters of Ray's metrics that are read where they are counted."""

from __future__ import annotations

from collections import defaultdict

import pytest

from uss_ray.pipelines.runtime import metrics

Seen = dict[str, dict[tuple[str, ...], float]]


def watch_counters(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Give the sums by name and the values of the labels, in the order of these."""
    seen: Seen = defaultdict(lambda: defaultdict(float))

    class FakeCounter:
        def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
            assert description
            self._name, self._keys, self._defaults = name, tag_keys, {}

        def set_default_tags(self, tags: dict[str, str]) -> None:
            self._defaults = tags

        def inc(self, value: float, tags: dict[str, str]) -> None:
            labels = self._defaults | tags
            assert set(labels) == set(self._keys)
            seen[self._name][tuple(labels[key] for key in self._keys)] += value

    monkeypatch.setattr(metrics, "Counter", FakeCounter)
    return seen
