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
    assert "cancel.json" in table.objects(row)
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


def test_what_was_told_is_not_begun_to_be_told_by_who_has_not_seen_it(table: JobTable) -> None:
    """Who was not to be told any more was told once more."""
    row = table.add(_request(table))
    assert table.begin_to_tell(row)
    stale = table.find("one", row.request.job_id)
    table.end_telling(row, is_heard=False)
    assert not table.begin_to_tell(stale)
    assert len(table.find("one", row.request.job_id).sent) == 1


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


def test_a_key_of_a_job_that_is_being_forgotten_is_free_as_soon_as_nothing_is_left(table: JobTable) -> None:
    row = table.add(_request(table))
    table.end(row, "succeeded", counts=NO_COUNTS)
    folder = table.folder_of(row)
    (folder / "request.json").remove()  # and then whoever was forgetting it died
    assert table.names() == {}
    with pytest.raises(Refusal, match="forgotten") as refused:
        table.add(_request(table))
    assert refused.value.status == 503
    table.clear("one", row.request.job_id)
    assert not folder.local_path().exists()
    assert table.add(_request(table)).state == "queued"
    table.clear("one", row.request.job_id)
    assert table.find("one", row.request.job_id).state == "queued"


def test_who_forgets_a_job_late_leaves_the_one_that_came_with_its_key_since(table: JobTable) -> None:
    table.end(table.add(_request(table)), "succeeded", counts=NO_COUNTS)
    seen = table.find("one", _request(table).job_id)
    table.forget(seen)
    anew = table.add(replace(_request(table), created_at=2.0))
    table.forget(seen)
    assert table.find("one", anew.request.job_id) == anew


@pytest.mark.parametrize("name", ["attempt-0001.json", "status.json"])
def test_a_job_that_is_forgotten_while_it_is_read_is_none_without_a_driver(
    table: JobTable, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    row = table.add(_request(table))
    table.begin(row, finished=0)
    table.end(row, "succeeded", counts=NO_COUNTS)
    row = table.find("one", row.request.job_id)
    read = table._read

    def read_late(place: Store) -> dict[str, object] | None:
        if place.name == name:
            table.forget_results(row)
            (table.folder_of(row) / "request.json").remove()
            table.clear("one", row.request.job_id)
        return read(place)

    names = table.objects(row)
    monkeypatch.setattr(table, "_read", read_late)
    assert table.read("one", row.request.job_id, names) is None


def test_of_an_add_and_a_forgetting_at_once_one_comes_first(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.end(table.add(_request(table)), "succeeded", counts=NO_COUNTS)
    seen = table.find("one", _request(table).job_id)
    read = table.read

    def forgotten_first(*given: object) -> object:
        monkeypatch.setattr(table, "read", read)
        table.forget(seen)
        return read(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(table, "read", forgotten_first)
    anew = table.add(replace(_request(table), created_at=2.0))
    assert (anew.state, anew.request.created_at) == ("queued", 2.0)


def test_a_job_that_comes_while_it_is_looked_for_is_found(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _request(table)
    is_gone = Store.is_gone

    def added_before(place: Store) -> bool:
        monkeypatch.setattr(Store, "is_gone", is_gone)
        table.add(asked)
        return is_gone(place)

    monkeypatch.setattr(Store, "is_gone", added_before)
    assert table.find("one", asked.job_id).request == asked


def test_what_a_job_may_read_is_anything_until_its_driver_has_looked(table: JobTable) -> None:
    row = table.add(_request(table))

    def reads() -> list[str | None]:
        return list(table.unfinished_inputs("one"))

    assert reads() == [None]
    table.note(row, JobProgress(attempt=1))
    assert reads() == [None]
    table.note(row, JobProgress(attempt=1, found=1))
    assert reads() == ["/in"]
    (table.folder_of(row) / "input.parquet").put(b"rows of a manifest")
    assert reads() == [None]
    table.end(row, "succeeded", counts=NO_COUNTS)
    assert reads() == []
