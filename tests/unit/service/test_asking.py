from __future__ import annotations

from typing import Any

import pytest

from uss_ray.api.request import Query, SoundRequest
from uss_ray.errors import ConfigError, UssRayError
from uss_ray.service.asking import asked_for
from uss_ray.service.problems import Refusal
from uss_ray.service.settings import Limits


def _asked(
    parameters: dict[str, Any] | None = None, options: dict[str, Any] | None = None, examples: int = 0
) -> SoundRequest:
    return asked_for(
        SoundRequest(weights="w"),
        parameters=parameters or {},
        options=options or {},
        limits=Limits(classes=2, texts=1, examples=1),
        examples=examples,
    )


def test_parameters_are_laid_over_options() -> None:
    asked = _asked(
        {"query": {"classes": ["Dog"]}, "settings": {"threshold": 0.5}},
        {"query": {"classes": ["Cat"], "exclude": ["Speech"]}, "write": {"stem_format": "wav"}},
    )
    assert (asked.query.classes, asked.query.exclude) == (("Dog",), ("Speech",))
    assert (asked.settings.threshold, asked.write.stem_format, asked.write.report) == (0.5, "wav", False)
    assert asked.weights == "w"


def test_parameters_that_ask_for_something_ask_for_that_alone() -> None:
    asked = _asked({"query": {"classes": ["Dog"]}}, {"query": {"levels": [1], "exclude": ["Speech"]}}).query
    assert (asked.levels, asked.classes, asked.exclude) == ((), ("Dog",), ("Speech",))
    assert _asked({"query": {"levels": (1,)}}, {"query": {"events": True}}).query == Query(levels=(1,))


def test_nothing_asks_for_the_events_and_an_example_for_itself() -> None:
    assert _asked().query.events
    assert not _asked(examples=1).query.events


def test_levels_for_who_names_nothing_take_no_other_ones_place() -> None:
    def levels(options: dict[str, Any]) -> tuple[int, ...]:
        return asked_for(
            SoundRequest(), parameters={}, options={"query": options}, limits=Limits(), open_levels=(1, 2, 3)
        ).query.levels

    assert levels({}) == levels({"exclude": ["Speech"]}) == (1, 2, 3)
    assert levels({"levels": [2]}) == (2,)
    assert levels({"classes": ["Dog"]}) == levels({"events": True}) == ()


@pytest.mark.parametrize(
    "options",
    [
        {"query": {"example_folder": "/etc"}},
        {"settings": {"context_seconds": 1e6}},
        {"settings": {"segment_seconds": 600}},
        {"write": {"report": True}},
        {"networks": {}},
        {"query": 3},
        {"query": {"levles": 1}},
    ],
)
def test_what_is_not_a_clients_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        _asked(options=options)


@pytest.mark.parametrize(
    ("query", "examples", "limit"),
    [
        ({"classes": ["1", "2"], "exclude": ["3"]}, 0, "classes"),
        ({"texts": ["a", "b"]}, 0, "texts"),
        ({}, 2, "examples"),
    ],
)
def test_more_than_is_allowed_is_refused(query: dict[str, Any], examples: int, limit: str) -> None:
    with pytest.raises(UssRayError) as refused:
        _asked({"query": query}, examples=examples)
    assert isinstance(refused.value, Refusal)
    assert refused.value.limit == limit
