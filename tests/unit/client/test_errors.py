"""What a service says of a request that it does not answer."""

from __future__ import annotations

import pickle

from uss_ray.client.errors import ServiceError
from uss_ray.errors import UssRayError


def test_it_is_of_the_family_and_travels_between_processes() -> None:
    problem = {"item": "a", "expected": "b", "found": "c", "limit": "channels", "request_id": "r"}
    error = pickle.loads(pickle.dumps(ServiceError.of(413, problem)))  # noqa: S301
    assert isinstance(error, UssRayError)
    assert str(error) == "a: expected b, found c"
    assert (error.status, error.limit, error.request_id) == (413, "channels", "r")


def test_who_says_nothing_in_our_words_is_worded() -> None:
    error = ServiceError.of(502, {})
    assert str(error) == "request: expected an answer, found status 502"
    assert (error.limit, error.request_id) == (None, None)
