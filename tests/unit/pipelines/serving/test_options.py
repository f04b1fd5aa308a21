from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.pipelines.serving.options import Serving


def test_arguments_of_serve_are_nested_or_have_dots() -> None:
    nested = {"service": {"no_auth": True, "limits": {"texts": 2}}, "options": {"replicas": 2, "threads": 3}}
    dotted = {
        "service.no_auth": "true",
        "service.limits.texts": 2,
        "options": {"threads": 3},
        "options.replicas": 2,
    }
    assert Serving.of(nested) == Serving.of(dotted)
    assert Serving.of(nested).options.threads_each == 3


def test_separators_of_a_machine_share_its_cores() -> None:
    many = Serving.of({"service.no_auth": True, "options.replicas": 10_000})
    assert many.options.threads_each == 1


def test_arguments_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="tokens"):
        Serving.of({"service": {}})
    with pytest.raises(ConfigError, match="replicas"):
        Serving.of({"service.no_auth": True, "options.replica": 1})
