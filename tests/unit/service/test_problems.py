from __future__ import annotations

import pickle

import pytest

from uss_ray.errors import ConfigError, OutputError, QueryError, RecordingError, UssRayError, WeightsError
from uss_ray.service.problems import Refusal, as_problem, internal, status_of


@pytest.mark.parametrize(
    ("kind", "status"),
    [(ConfigError, 422), (QueryError, 422), (RecordingError, 422), (WeightsError, 503), (UssRayError, 500)],
)
def test_each_kind_has_its_status(kind: type[UssRayError], status: int) -> None:
    assert status_of(kind("a", expected="b", found="c")) == status


def test_a_disk_without_room_is_told_from_a_store_that_is_away() -> None:
    full = OutputError("/tmp/x", expected="room", found="No space left on device")
    assert status_of(full) == 507
    assert status_of(OutputError("/tmp/x", expected="a store", found="no answer")) == 503


def test_what_a_user_meets_is_told_as_it_is() -> None:
    error = QueryError("Spech", expected="a label (near: Speech)", found="no such name")
    status, headers, body = as_problem(error, request_id="1")
    assert (status, headers) == (422, {})
    assert body == {
        "type": "urn:uss-ray:query-error",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": str(error),
        "item": "Spech",
        "expected": "a label (near: Speech)",
        "found": "no such name",
        "request_id": "1",
    }


def test_what_goes_wrong_inside_names_no_place_of_it() -> None:
    error = OutputError("/srv/secret/place", expected="a folder", found="/srv/other")
    status, headers, body = as_problem(error, request_id="1")
    assert (status, headers) == (503, {"retry-after": "10"})
    assert "/srv" not in str(body)
    assert as_problem(internal(), request_id="1")[0] == 500


def test_who_is_put_off_is_told_until_when() -> None:
    refusal = Refusal("q", expected="a", found="b", status=503, limit="queue_seconds", retry_after=2.2)
    _, headers, body = as_problem(refusal, request_id="1")
    assert (headers["retry-after"], body["limit"]) == ("3", "queue_seconds")


def test_a_refusal_travels_between_processes() -> None:
    refusal = Refusal(
        "q", expected="a", found="b", status=503, limit="queue_seconds", retry_after=2.2, allow="GET"
    )
    back = pickle.loads(pickle.dumps(refusal))  # noqa: S301 - ours
    assert vars(back) == vars(refusal)
