from __future__ import annotations

import dataclasses

import pytest

from uss_ray.api.request import Query, SeparationRequest
from uss_ray.errors import DataError, OutputError
from uss_ray.pipelines.runtime import identity as identity_module
from uss_ray.pipelines.runtime.identity import RunIdentity
from uss_ray.results.index.table import RunFacts


def open_run(request, identity):
    return identity_module.open_run(
        identity,
        output=request.output,
        results_folder="index",
        start_over=(lambda: None) if request.overwrite else None,
    )


@pytest.fixture
def request_here(tmp_path):
    return SeparationRequest(output=str(tmp_path / "out"), query=Query(levels=(1,)))


def identity_of(request, *, archive="s3://b/in/", sha256="0", threads=2):
    facts = RunFacts(run_id="r", weights_name="w", weights_sha256=sha256, settings=request.described())
    return RunIdentity.of(archive, run=facts, threads=threads)


def test_a_run_is_found_again_with_its_threads(request_here):
    begun, resumed = open_run(request_here, identity_of(request_here))
    assert not resumed
    found, resumed = open_run(request_here, identity_of(request_here, archive="s3://b/in", threads=7))
    assert resumed
    assert found == begun
    assert found.threads == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"archive": "s3://b/other"}, "input"),
        ({"sha256": "1"}, "weights"),
        ({"residual": False}, "residual True"),
        ({"query": Query(levels=(2,))}, r"query\.levels \[1\]"),
    ],
)
def test_another_run_is_refused_and_told_apart(request_here, changes, named):
    open_run(request_here, identity_of(request_here))
    asked = {name: changes[name] for name in changes if name in ("residual", "query")}
    other = dataclasses.replace(request_here, **asked)
    with pytest.raises(OutputError, match=named) as raised:
        open_run(other, identity_of(other, **{name: changes[name] for name in changes if name not in asked}))
    assert "--version" in raised.value.reason
    replaced = dataclasses.replace(other, overwrite=True)
    assert open_run(replaced, identity_of(replaced))[1] is False


def test_an_index_without_a_run_and_a_broken_run_are_refused(request_here, tmp_path):
    (tmp_path / "out" / "index").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"run\.json"):
        open_run(request_here, identity_of(request_here))
    (tmp_path / "out" / "run.json").write_text('{"archive": 1}')
    with pytest.raises(DataError, match=r"run\.json"):
        open_run(request_here, identity_of(request_here))
