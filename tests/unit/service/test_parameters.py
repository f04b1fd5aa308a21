"""A parameter that no call knows, or that is there twice, is refused; nothing has been done by then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.unit.service.answers import KnownAnswers
from tests.unit.service.conftest import running
from uss_ray.service.jobs import JobOrder
from uss_ray.service.keeper import Keeper, KeepingHere, Life
from uss_ray.service.settings import ServiceSettings

JOB = "0" * 32
RESULT = "/v1/results/R"


class Nobody:
    """An executor that begins no driver."""

    def start(self, order: JobOrder) -> None:
        pass

    def life(self, name: str) -> Life:
        return "alive"

    def missing(self) -> str | None:
        return None

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def http(token_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    store = tmp_path_factory.mktemp("parameters")
    settings = ServiceSettings(tokens=str(token_file), store=str(store))
    keeping = KeepingHere(Keeper.of(settings, Nobody()))
    with running(settings, KnownAnswers(), keeping=keeping) as service, service.client() as client:
        yield client


@pytest.mark.parametrize(
    ("method", "call", "item", "expected"),
    [
        ("POST", "/v1/jobs?dry-run=true", "dry-run", "a known one, 'dry_run'?"),
        ("GET", "/v1/jobs?statsu=failed", "statsu", "a known one, 'status'?"),
        ("GET", f"/v1/jobs/{JOB}?cursor=", "cursor", "a call without parameters"),
        ("DELETE", f"/v1/jobs/{JOB}?result=true", "result", "a known one, 'results'?"),
        (
            "GET",
            f"/v1/jobs/{JOB}/recordings?status=failed",
            "status",
            "a known one, one of class, cursor, min_probability",
        ),
        ("GET", f"{RESULT}.zip?stem=a", "stem", "a known one, 'stems'?"),
        ("GET", f"{RESULT}/stems/a/b.flac?range=1", "range", "a known one, one of redirect"),
        ("GET", f"{RESULT}/window?stems=a&begin=1000", "begin", "a known one, one of frames, start, stems"),
        ("GET", f"{RESULT}/mix.wav?stems=a&gain=0", "gain", "a known one, 'gains'?"),
        ("GET", f"{RESULT}/player?stems=a", "stems", "a call without parameters"),
        ("GET", "/v1/classes?found=dog", "found", "a known one, 'find'?"),
        ("POST", "/v1/uploads/a.wav?byte=5", "byte", "a known one, 'bytes'?"),
        ("PUT", "/v1/uploads/a.wav?bytes=5", "bytes", "a call without parameters"),
        ("POST", "/v1/tag?class_=Dog", "class_", "a known one, 'class'?"),
        ("POST", "/v1/separate?keep=5&keep=60", "keep", "it once"),
        ("POST", "/v1/tag?top=2&top=3", "top", "it once"),
        ("GET", "/v1/jobs?status=failed&status=running", "status", "it once"),
    ],
)
def test_what_a_call_does_not_know_or_knows_once_is_refused(
    http: httpx.Client, method: str, call: str, item: str, expected: str
) -> None:
    answer = http.request(method, call)
    assert answer.status_code == 422, answer.text
    assert (answer.json()["item"], answer.json()["expected"]) == (f"parameter {item}", expected)


def test_a_list_may_be_said_element_by_element_and_who_only_looks_may_say_anything(
    http: httpx.Client,
) -> None:
    assert http.get(f"/v1/jobs/{JOB}/recordings?class=Dog&class=Cat").status_code == 404
    for call in ("/healthz?t=1", "/?from=mail&from=web", "/assets/page.css?v=2"):
        assert http.get(call).status_code == 200, call
