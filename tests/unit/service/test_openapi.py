"""Calls made up from the description of the service: what it says of itself holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.unit.service.answers import KnownAnswers
from tests.unit.service.conftest import AUTH, running
from uss_ray.service.settings import ServiceSettings

pytestmark = pytest.mark.slow

EXAMPLES = 4
"""Of each call."""

HELD = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]


@pytest.fixture(scope="module")
def described_service(tmp_path_factory: pytest.TempPathFactory, token_file: Path) -> Iterator[Any]:
    store = tmp_path_factory.mktemp("described")
    told = ServiceSettings(tokens=str(token_file), store=str(store), decoders=1)
    with running(told, KnownAnswers()) as service:
        yield schemathesis.openapi.from_url(f"{service.url}/openapi.json", headers=AUTH)


@schemathesis.pytest.from_fixture("described_service").parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_calls_that_are_made_up_are_answered_as_described(case: Any) -> None:
    case.call_and_validate(headers=AUTH, checks=HELD)
