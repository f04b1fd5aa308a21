from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.results.blocks import StemRequest
from uss_ray.results.stem_plan import StemPlan

STEMS = [
    StemRequest(key="/m/1", label="Dog", level=2),
    StemRequest(key="/m/2", label="Dog", level=1),
    StemRequest(key="query:dog", label="Dog", kind="text"),
    StemRequest(key="query:residual", label="Residual", kind="example"),
]


def test_a_plan_of_a_plan_is_the_same():
    plan = StemPlan.of(STEMS)
    assert StemPlan.of(plan) is plan
    assert plan.places == {"/m/1": 0, "/m/2": 1, "query:dog": 2, "query:residual": 3}


def test_a_key_comes_once():
    with pytest.raises(ConfigError, match="/m/2"):
        StemPlan.of([*STEMS, StemRequest(key="/m/2", label="Other", level=3)])


def test_names_of_files_are_free_in_their_level_and_none_is_that_of_a_residual():
    slugs = StemPlan.of(STEMS).slugs
    assert slugs[:3] == ("dog__m_1", "dog__m_2", "dog")
    assert slugs[3] != "residual"


def test_each_level_has_a_residual_and_so_have_the_queries():
    plan = StemPlan.of(STEMS)
    assert [(rest.level, rest.kind) for rest in plan.residuals] == [
        (2, "residual"), (1, "residual"), (None, "residual"),
    ]  # fmt: skip
    assert plan.columns["node_id"].to_pylist() == [stem.key for stem in STEMS] + ["residual"] * 3
    assert plan.columns["level"].to_pylist() == [2, 1, None, None, 2, 1, None]
