"""The table of jobs: what is there once is there once, and what belongs to one tenant is not there for another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from uss_ray.errors import OutputError
from uss_ray.service.jobs import Counts, JobProgress, JobRequest, JobTable
from uss_ray.service.problems import Refusal
from uss_ray.store.store import Store

NO_COUNTS = Counts()


@pytest.fixture
def table(tmp_path: Path) -> JobTable:
    return JobTable(Store(tmp_path, None, OutputError))


def _request(table: JobTable, *, key: str | None = "k") -> JobRequest:
    return JobRequest(
        job_id=table.new_id("one", key),
        tenant="one",
        created_at=1.0,
        digest="d",
        input="/in",
        output="/out",
        sounds={"query": {"levels": [1]}},
        prefixes=("/in",),
    )


def test_a_job_goes_through_its_states(table: JobTable) -> None:
    row = table.add(_request(table))
    assert row.state == "queued"
    assert table.begin(row, finished=0) == 1
    row = table.find("one", row.request.job_id)
    assert (row.state, row.attempts, row.request) == ("running", (0,), _request(table))
    table.note(row, JobProgress(attempt=1, found=2, finished=1))
    assert table.cancel(row)
    assert not table.cancel(row)
    assert table.is_cancelled(row)
    assert table.end(row, "cancelled", counts=Counts(finished=1))
    assert not table.end(row, "succeeded", counts=NO_COUNTS)
    row = table.find("one", row.request.job_id)
    assert (row.state, row.is_cancelled, row.progress) == (
        "cancelled", True, JobProgress(attempt=1, found=2, finished=1)
    )  # fmt: skip
    table.forget(row)
    assert table.names() == {}
    with pytest.raises(Refusal, match="none"):
        table.find("one", row.request.job_id)


def test_of_many_who_begin_an_attempt_one_does(table: JobTable) -> None:
    row = table.add(_request(table))
    with ThreadPoolExecutor(16) as pool:
        begun = list(pool.map(lambda _: table.begin(row, finished=0), range(16)))
    assert begun.count(1) == 1
    assert begun.count(None) == 15


def test_a_key_names_one_job_a_tenant(table: JobTable) -> None:
    asked = _request(table)
    assert table.add(asked) == table.add(replace(asked, created_at=2.0))
    assert table.new_id("two", "k") != asked.job_id
    assert table.new_id("one", None) != table.new_id("one", None)
    with pytest.raises(Refusal, match="came with first"):
        table.add(replace(asked, digest="another"))


@pytest.mark.parametrize("job_id", ["..", "../one", "x" * 32, "", "0" * 32])
def test_what_is_no_id_is_no_job(table: JobTable, job_id: str) -> None:
    with pytest.raises(Refusal, match="none"):
        table.find("one", job_id)
