"""Jobs of a client: pages follow each other, and waiting ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clock import set_clock
from uss_ray.client.errors import ServiceError
from uss_ray.client.jobs import Jobs

SAID = {
    "id": "a", "status": "running", "found": 2, "finished": 1, "failed": 0, "reason": None, "output": {"uri": "/o"}
}  # fmt: skip


def test_pages_follow_each_other() -> None:
    asked: list[Any] = []

    def ask(method: str, path: str, **sent: Any) -> dict[str, Any]:
        asked.append((method, path, sent))
        return {"jobs": [SAID], "next": "a" if len(asked) == 1 else None}

    assert [job.job_id for job in Jobs(ask).list(status="running")] == ["a", "a"]
    assert asked[1][2]["params"] == {"status": "running", "cursor": "a"}


@pytest.mark.parametrize("grew", [None, 0, 1])
def test_rows_that_may_be_missing_are_told_with_those_that_came(grew: int | None) -> None:
    pages = [
        {
            "recordings": [{"label": number}],
            "next": str(number) if number < 2 else None,
            "is_whole": number != grew,
        }
        for number in range(3)
    ]
    answers = iter(pages)
    found = Jobs(lambda *_, **__: next(answers)).recordings("a", classes=["Dog"])
    assert [row["label"] for row in found] == [0, 1, 2]
    assert found.is_whole == (grew is None)


def test_pages_that_come_again_and_again_end() -> None:
    with pytest.raises(ServiceError, match="the same page again"):
        list(Jobs(lambda *_, **__: {"jobs": [], "next": "a"}).list())


def test_waiting_ends_with_the_job_or_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, "uss_ray.client.jobs", sleep=lambda _: None)
    answers = iter([SAID, {**SAID, "status": "succeeded"}])
    assert Jobs(lambda *_, **__: next(answers)).wait("a").has_ended
    with pytest.raises(TimeoutError, match="1 of 2 recordings"):
        Jobs(lambda *_, **__: SAID).wait("a", seconds=0.0)


def test_each_submission_has_a_key_of_its_own() -> None:
    keys: list[str] = []

    def ask(method: str, path: str, *, json: Any, headers: dict[str, str]) -> dict[str, Any]:
        keys.append(headers["idempotency-key"])
        assert json == {"input": {"uri": "s3://b/a"}, "query": {"levels": [1]}}
        return SAID

    for key in (None, None, "mine"):
        Jobs(ask).submit("s3://b/a", query={"levels": [1]}, key=key)
    assert len(set(keys)) == 3
    assert keys[2] == "mine"
