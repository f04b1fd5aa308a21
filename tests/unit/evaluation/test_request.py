from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.evaluation.request import EvaluationRequest


def make(**values: object) -> EvaluationRequest:
    return EvaluationRequest(**{"benchmark": "mini", "data": "d", "output": "o", **values})


def test_an_unknown_system_or_one_twice_is_refused() -> None:
    assert make(systems=("bare", "my.module:f")).systems == ("bare", "my.module:f")
    with pytest.raises(
        ConfigError, match="expected engine or gated or bare or published or module:function, found best"
    ):
        make(systems=("best",))
    with pytest.raises(ConfigError, match="expected each once"):
        make(queries=("oracle", "oracle"))


def test_places_do_not_name_a_run_but_what_shapes_it_does() -> None:
    def name(**values: object) -> str:
        request = make(**values)
        described = request.described(list_sha256="abc", train_sha256=None)
        return request.run_id(described, weights_sha256="w")

    assert name() == name(data="elsewhere", output="other")
    others = ({"systems": ("bare",)}, {"settings": {"threshold": 0.5}}, {"networks": {"in_bands": True}})
    assert len({name(), *(name(**other) for other in others)}) == 4


def test_a_run_that_was_begun_before_networks_could_be_chosen_goes_on() -> None:
    described = make().described(list_sha256="abc", train_sha256=None)
    assert "networks" not in described
